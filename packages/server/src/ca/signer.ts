import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import { calculateJwkThumbprint } from 'jose';
import { formatSpiffeId, type Identity } from '@muster/shared/spiffe.js';
import type { Signer } from '../ports.js';
import { loadOrCreateKey } from './key-file.js';

/**
 * The key in a data directory that signs permits and attestation results; made when there is none. Its id is its
 * thumbprint (RFC 7638). Errors: FILE_UNREADABLE, KEY_FILE_EXPOSED, STORE_FULL.
 */
export async function openSigner(dataDirectory: string, server: Identity): Promise<Signer> {
  const key = await loadOrCreateKey(join(dataDirectory, 'signing-key.pem'));
  const jwk = createPublicKey(key).export({ format: 'jwk' });
  const keyId = await calculateJwkThumbprint(jwk);
  return {
    issuer: formatSpiffeId(server),
    trustDomain: server.trustDomain,
    keyId,
    key,
    jwks: JSON.stringify({ keys: [{ ...jwk, kid: keyId, alg: 'ES256', use: 'sig' }] }),
  };
}
