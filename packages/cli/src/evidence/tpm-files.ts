import { createHash, createPublicKey } from 'node:crypto';
import { refusal } from '@muster/shared/errors.js';
import { formatEvidence } from '@muster/shared/evidence/x-tpm/evidence.js';
import type { TpmPolicy } from '@muster/shared/evidence/x-tpm/policy.js';
import { readBytes } from './input.js';

/** A quote in files of its own, as `tpm2_quote` and keylime keep it. */
export interface TpmFiles {
  readonly evidence: string;
  readonly signature: string;
  /** The attestation key, PEM. */
  readonly key: string;
}

/** The evidence that the files make, and a policy that trusts the key: whoever names it here vouches for it. */
export interface TpmSubject {
  readonly evidence: Uint8Array;
  readonly policy: TpmPolicy;
}

/** Reads a quote from its files. Errors: FILE_UNREADABLE, ARGUMENT_INVALID. */
export function readTpmFiles({ evidence, signature, key }: TpmFiles, policy: TpmPolicy): TpmSubject {
  const publicKey = readPublicKey(key);
  const fingerprint = createHash('sha256').update(publicKey).digest('hex');
  return {
    evidence: formatEvidence({
      ak_public: publicKey,
      tpm_quote: { message: readBytes(evidence), signature: readBytes(signature) },
    }),
    policy: { ...policy, trusted_aks: [...policy.trusted_aks, fingerprint] },
  };
}

function readPublicKey(file: string): Uint8Array {
  const bytes = readBytes(file);
  try {
    return Uint8Array.from(createPublicKey(Buffer.from(bytes)).export({ format: 'der', type: 'spki' }));
  } catch (cause) {
    const message = `--cert: ${file} holds no public key that can be read, PEM.`;
    throw refusal('ARGUMENT_INVALID', { message, path: file }, cause);
  }
}
