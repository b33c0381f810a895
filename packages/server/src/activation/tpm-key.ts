import type { KeyObject } from 'node:crypto';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { checkAttributes } from '@muster/shared/evidence/x-tpm/verifier.js';
import { parsePublic } from '@muster/shared/evidence/x-tpm/public-area.js';
import { isQuotingKey } from '@muster/shared/evidence/x-tpm/signature.js';
import { parseCertificate } from '@muster/shared/evidence/x509.js';
import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import { takesCredentials } from './make-credential.js';

const [maxPublicAreaBytes, maxCertificates, maxCertificateBytes] = [1024, 8, 8192];

/** A TPM's attestation key and endorsement key as they are offered. */
export interface OfferedTpmKey {
  /** TPM2B_PUBLIC. */
  readonly attestationKey: Uint8Array;
  /** DER, the endorsement key's first. */
  readonly endorsementCertificates: readonly Uint8Array[];
}

/** The same, once it was read. Whether the certificates are of a genuine TPM is for each verifier to decide. */
export interface TpmKey {
  readonly offered: OfferedTpmKey;
  /** The attestation key, SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** The attestation key's name, which covers its attributes. */
  readonly name: Uint8Array;
  readonly endorsementKey: KeyObject;
  /** SHA-256 over the SubjectPublicKeyInfo of the endorsement key, lower-case hex. */
  readonly ekFingerprint: string;
}

/**
 * Reads a key that is offered: the attestation key must be fit to sign evidence, and credentials can be made for the
 * endorsement key. Errors: TPM_AK_UNREADABLE, TPM_AK_WEAK, TPM_AK_ATTRIBUTES, TPM_EK_UNSUPPORTED.
 */
export function readTpmKey(offered: OfferedTpmKey): TpmKey {
  const { attestationKey, endorsementCertificates } = offered;
  const area = attestationKey.length > maxPublicAreaBytes ? undefined : parsePublic(attestationKey);
  if (area === undefined) throw refusal('TPM_AK_UNREADABLE');
  if (!isQuotingKey(area.key)) throw refusal('TPM_AK_WEAK');
  const unfit = checkAttributes(area);
  if (unfit !== undefined) throw new MusterError([unfit]);

  const [ekDer] = endorsementCertificates;
  const isBounded =
    endorsementCertificates.length <= maxCertificates &&
    endorsementCertificates.every(({ length }) => length <= maxCertificateBytes);
  const ek = ekDer === undefined || !isBounded ? undefined : parseCertificate(ekDer);
  if (ek === undefined || !takesCredentials(ek.publicKey)) throw refusal('TPM_EK_UNSUPPORTED');
  return {
    offered,
    publicKey: publicKeyDer(area.key),
    name: area.name,
    endorsementKey: ek.publicKey,
    ekFingerprint: ek.fingerprint,
  };
}
