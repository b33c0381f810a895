import { loadYaml } from '@muster/shared/config/load.js';
import { refusal } from '@muster/shared/errors.js';
import type { EvidenceVerifier, ServiceKeys } from '@muster/shared/evidence/appraisal.js';
import { keySetSchema } from '@muster/shared/evidence/service-token/policy.js';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import * as z from 'zod';
import { readBytes, readCertificates, readPolicy } from './input.js';
import { readTpmFiles } from './tpm-files.js';

/** The options that say what is appraised, and by which policy. */
export interface SubjectOptions {
  readonly evidence: string;
  readonly signature?: string;
  readonly cert?: readonly string[];
  readonly policy?: string;
  readonly jwks?: string;
}

/** What is appraised, and by which policy. */
export interface Subject {
  readonly evidence: Uint8Array;
  readonly certificates: readonly Uint8Array[];
  readonly policy: unknown;
  readonly serviceKeys: readonly ServiceKeys[];
}

/** Reads what is appraised from its files. Errors: FILE_UNREADABLE, ARGUMENT_INVALID, POLICY_INVALID. */
export function readSubject(verifier: EvidenceVerifier, options: SubjectOptions): Subject {
  const { signature, cert = [], jwks } = options;
  const policy = readPolicy(verifier, options.policy);
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
    return { ...subject, certificates: [], serviceKeys: [] };
  }
  return {
    evidence: readBytes(options.evidence),
    certificates: cert.flatMap(readCertificates),
    policy,
    serviceKeys: jwks === undefined ? [] : readServiceKeys(jwks, verifier, policy),
  };
}

const issuersSchema = z.looseObject({ issuers: z.array(z.looseObject({ issuer: z.string() })) });

/** Reads keys of an attestation service: they count for each issuer that the policy trusts. */
function readServiceKeys(file: string, verifier: EvidenceVerifier, policy: unknown): readonly ServiceKeys[] {
  const trusted = issuersSchema.safeParse(policy);
  if (!trusted.success) {
    throw refusal('ARGUMENT_INVALID', {
      message: `--jwks: ${verifier.namespace} has no tokens of an attestation service.`,
      path: '--jwks',
    });
  }
  const keys = loadYaml(file, keySetSchema, 'ARGUMENT_INVALID');
  return trusted.data.issuers.map(({ issuer }) => ({ issuer, keys }));
}
