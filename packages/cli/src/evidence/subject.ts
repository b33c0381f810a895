import { loadYaml } from '@muster/shared/config/load.js';
import { refusal } from '@muster/shared/errors.js';
import type { EvidenceVerifier, ServiceKeys } from '@muster/shared/evidence/appraisal.js';
import { issuersOf, keySetSchema } from '@muster/shared/evidence/service-token/policy.js';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import { readBytes, readCertificates } from './input.js';
import { readTpmFiles } from './tpm-files.js';

/** The options that say what is appraised. */
export interface SubjectOptions {
  readonly evidence: string;
  readonly signature?: string;
  readonly cert?: readonly string[];
  readonly jwks?: string;
}

/** What is appraised, and by which policy. */
export interface Subject {
  readonly evidence: Uint8Array;
  readonly certificates: readonly Uint8Array[];
  readonly policy: unknown;
  /** Undefined when no file gives them. */
  readonly serviceKeys?: readonly ServiceKeys[];
}

/**
 * Reads what is appraised from its files, for a policy of the namespace: the key of a TPM that a file names is trusted by
 * it. Errors: FILE_UNREADABLE, ARGUMENT_INVALID.
 */
export function readSubject(verifier: EvidenceVerifier, policy: unknown, options: SubjectOptions): Subject {
  const { signature, cert = [], jwks } = options;
  if (signature !== undefined) {
    const [key, second] = cert;
    if (verifier.namespace !== tpmVerifier.namespace || key === undefined || second !== undefined) {
      throw refusal('ARGUMENT_INVALID', {
        message: '--signature is for the quote of a TPM, in x-tpm, with its key as the one --cert.',
        path: '--signature',
      });
    }
    const files = { evidence: options.evidence, signature, key };
    const subject = readTpmFiles(files, tpmVerifier.policySchema.parse(policy));
    return { ...subject, certificates: [] };
  }
  return {
    evidence: readBytes(options.evidence),
    certificates: cert.flatMap(readCertificates),
    policy,
    ...(jwks === undefined ? {} : { serviceKeys: readServiceKeys(jwks, verifier, policy) }),
  };
}

/** Reads keys of an attestation service: they count for each issuer that the policy trusts. */
function readServiceKeys(file: string, verifier: EvidenceVerifier, policy: unknown): readonly ServiceKeys[] {
  const issuers = issuersOf(policy);
  if (issuers.length === 0) {
    throw refusal('ARGUMENT_INVALID', {
      message: `--jwks: the policy of ${verifier.namespace} names no issuer whose keys these could be.`,
      path: '--jwks',
    });
  }
  const keys = loadYaml(file, keySetSchema, 'ARGUMENT_INVALID');
  return issuers.map(({ issuer }) => ({ issuer, keys }));
}
