import { createHash } from 'node:crypto';
import type { Appraisal, AppraisalInput } from '@muster/shared/evidence/appraisal.js';
import { formatEvidence } from '@muster/shared/evidence/x-tpm/evidence.js';
import type { TpmPolicy } from '@muster/shared/evidence/x-tpm/policy.js';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import {
  pcrValues,
  rsaKey,
  signQuote,
  tpmName,
  tpmPublic,
  tpmQuote,
  type TpmKey,
  type TpmQuoteFields,
} from '../../../support/tpm-builder.js';

export const at = new Date('2026-01-01T00:00:00Z');
export const reportData = createHash('sha512').update('a binding').digest();
/** What a TPM is given as the nonce. */
export const nonce = createHash('sha256').update(reportData).digest();

/** What differs from a quote that is affirmed. */
export interface TpmCaseOptions {
  readonly key?: TpmKey;
  readonly fields?: TpmQuoteFields;
  readonly signing?: Parameters<typeof signQuote>[2];
  /** Changes the quote before it is signed. */
  readonly alter?: (quote: Buffer) => Uint8Array;
  readonly signature?: (signature: Buffer) => Uint8Array;
  /** The attestation key as it is sent; its TPM2B_PUBLIC unless given. */
  readonly akPublic?: Uint8Array;
  /** The values beside the quote; none when null. */
  readonly pcrs?: readonly Uint8Array[] | null;
  /** Whether the attestation key is pinned. */
  readonly pinned?: readonly string[];
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly input?: Partial<AppraisalInput<TpmPolicy>>;
}

/** Everything that an appraisal of a quote needs; affirmed unless the options spoil it. */
export function tpmCase(options: TpmCaseOptions = {}): AppraisalInput<TpmPolicy> {
  const { key = rsaKey, fields = {}, pcrs } = options;
  const quoted = { nonce, ...fields };
  const plain = tpmQuote(quoted);
  const message = options.alter?.(plain) ?? plain;
  const signature = signQuote(message, key, options.signing);
  const area = options.akPublic ?? tpmPublic(key);
  return {
    evidence: {
      namespace: 'x-tpm',
      evidence: formatEvidence({
        ak_public: area,
        tpm_quote: {
          message,
          signature: options.signature?.(signature) ?? signature,
          ...(pcrs === null ? {} : { pcrs: [...(pcrs ?? pcrValues(quoted))] }),
        },
      }),
    },
    endorsements: { certificates: [], crls: [] },
    reportData,
    policy: tpmVerifier.policySchema.parse({
      trusted_aks: options.pinned ?? [tpmName(area)],
      ...options.policy,
    }),
    at,
    simulatedRoots: [],
    ...options.input,
  };
}

/** Appraises a case. */
export function appraiseTpm(options: TpmCaseOptions = {}): Appraisal {
  return tpmVerifier.appraise(tpmCase(options));
}
