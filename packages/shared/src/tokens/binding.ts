import { createHash } from 'node:crypto';
import { formatSpiffeId, type Identity } from '../spiffe.js';

/** Length of every nonce, bytes. */
export const nonceBytes = 32;

/** What evidence is bound to. */
export interface Binding {
  /** The verifier's nonce, 32 bytes. */
  readonly nonce: Uint8Array;
  /** The presenter's public key, SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly identity: Identity;
}

/**
 * The 64 bytes that evidence carries as report data:
 * SHA-512("muster-evidence-v1" || nonce || SHA-256(SPKI) || SPIFFE id). Nonce and key digest have fixed lengths and the
 * SPIFFE id names trust domain, role and name, so no two bindings have the same input.
 */
export function reportData({ nonce, publicKey, identity }: Binding): Uint8Array {
  if (nonce.length !== nonceBytes) throw new RangeError(`a nonce has ${nonceBytes} bytes`);
  return createHash('sha512')
    .update('muster-evidence-v1')
    .update(nonce)
    .update(createHash('sha256').update(publicKey).digest())
    .update(formatSpiffeId(identity))
    .digest();
}
