import { createHash } from 'node:crypto';
import { perObject } from '../../memo.js';
import { reason, type Reason } from '../../reasons.js';
import type { Appraisal, AppraisalInput, EvidenceVerifier, Json } from '../appraisal.js';
import { answers } from '../nonce.js';
import { checkActivation, type ActivationOutcome } from './activation.js';
import { ekCrlQueries } from './ek-revocation.js';
import { parseAttestationKey, parseEvidence, type AttestationKey } from './evidence.js';
import {
  checkReferences,
  checkSelection,
  hasReferences,
  placePcrs,
  quoteClaims,
  type PcrValues,
} from './pcrs.js';
import { tpmPolicySchema, type TpmPolicy } from './policy.js';
import type { TpmAttribute } from './public-area.js';
import { parseQuote, type TpmQuote } from './quote.js';
import { isQuotingKey, isSignedBy, parseSignature } from './signature.js';

const namespace = 'x-tpm';
const requiredAttributes: readonly TpmAttribute[] = [
  'fixedTPM',
  'fixedParent',
  'sensitiveDataOrigin',
  'restricted',
  'sign',
];

/** The verifier of TPM 2.0 quotes. docs/namespaces/x-tpm.md says what it proves. */
export const tpmVerifier: EvidenceVerifier<TpmPolicy, Appraisal> = {
  namespace,
  policySchema: tpmPolicySchema,
  endorsementQueries: (_evidence, atHand) => ekCrlQueries(atHand),
  appraise,
};

/** A quote whose signature holds under the key that came with it; whose key that is, is not said. */
interface SignedQuote {
  readonly quote: TpmQuote;
  readonly key: AttestationKey;
  readonly values: PcrValues | undefined;
}

type Input = AppraisalInput<TpmPolicy>;

/**
 * Appraises a quote in this order: its form, its signature and the values of its PCRs, the attestation key, the nonce,
 * the policy. A failure of form, signature or values ends the appraisal; from there on every reason is collected.
 */
function appraise(input: Input): Appraisal {
  if (Number.isNaN(input.at.getTime())) return broken(reason('TPM_CLOCK_INVALID'));
  const signed = readSigned(input.evidence.evidence);
  return 'code' in signed ? broken(signed) : judge(signed, input);
}

function readSigned(bytes: Uint8Array): SignedQuote | Reason {
  const evidence = parseEvidence(bytes);
  if (evidence === undefined) return reason('TPM_EVIDENCE_UNREADABLE');
  const { message, signature: signatureBytes, pcrs } = evidence.tpm_quote;
  const quote = parseQuote(message);
  if (quote === undefined) return reason('TPM_QUOTE_UNREADABLE');
  const signature = parseSignature(signatureBytes);
  if (signature === undefined) return reason('TPM_SIGNATURE_UNREADABLE');
  const key = parseAttestationKey(evidence.ak_public);
  if (key === undefined) return reason('TPM_AK_UNREADABLE');
  if (!isQuotingKey(key.key) || signature.hash === 'sha1') return reason('TPM_AK_WEAK');
  if (!isSignedBy(message, signature, key.key)) return reason('TPM_QUOTE_SIGNATURE');
  const values = pcrs === undefined ? undefined : placePcrs(quote, pcrs, signature.hash);
  return values !== undefined && 'code' in values ? values : { quote, key, values };
}

function judge({ quote, key, values }: SignedQuote, input: Input): Appraisal {
  const { policy, reportData } = input;
  const proof = isPinned(key, policy) ? pinned : checkActivation(fingerprintOf(key), input);
  const keyFailures = [...[checkAttributes(key)].flatMap((found) => found ?? []), ...proof.reasons];
  const nonceFailure = checkNonce(quote, reportData);
  const stateFailures = [
    checkSelection(quote.selection, policy) ?? [],
    checkReferences(values, policy),
    policy.require_safe_clock && !quote.clock.safe ? reason('TPM_CLOCK_UNSAFE') : [],
  ].flat();
  const reasons = [...keyFailures, ...(nonceFailure === undefined ? [] : [nonceFailure]), ...stateFailures];
  return {
    namespace,
    status: reasons.length > 0 ? 'contraindicated' : 'affirming',
    reasons,
    claims: {
      quote_signature: 'holds',
      ...keyClaims(key),
      ak_proven: proof.reasons.length === 0,
      ...proof.claims,
      ...quoteClaims(quote, values),
    },
    unchecked: [
      ...(reportData === undefined ? ['report_data'] : []),
      ...(policy.pcr_selection === undefined ? ['pcr_selection'] : []),
      ...(values === undefined ? ['pcr_values'] : []),
      ...proof.unchecked,
    ],
    trustworthiness: {
      'instance-identity': keyFailures.length > 0 || nonceFailure !== undefined ? 96 : 2,
      executables: stateFailures.length > 0 ? 96 : hasReferences(policy) ? 2 : 0,
    },
    simulated: proof.simulated,
  };
}

/** The nonce of a quote against what it must be bound to; undefined where no binding can be known. */
export function checkNonce({ extraData }: TpmQuote, reportData: Uint8Array | undefined): Reason | undefined {
  if (extraData.length === 0) return reason('TPM_NONCE_EMPTY');
  if (reportData === undefined || answers(extraData, reportData)) return undefined;
  return reason('TPM_NONCE');
}

/** A restricted key signs only what the TPM itself made, so that its quotes cannot be invented. */
export function checkAttributes({ attributes }: Pick<AttestationKey, 'attributes'>): Reason | undefined {
  if (attributes === undefined) return undefined;
  const isFit =
    requiredAttributes.every((attribute) => attributes.includes(attribute)) &&
    !attributes.includes('decrypt');
  return isFit ? undefined : reason('TPM_AK_ATTRIBUTES');
}

/** The proof of a key that whoever wrote the policy vouches for. */
const pinned: ActivationOutcome = { reasons: [], claims: {}, unchecked: [], simulated: false };

function isPinned(key: AttestationKey, { trusted_aks }: TpmPolicy): boolean {
  const identities = [fingerprintOf(key), ...(key.name === undefined ? [] : [hex(key.name)])];
  return identities.some((identity) => trusted_aks.includes(identity));
}

function keyClaims(key: AttestationKey): { readonly [key: string]: Json } {
  return {
    ak_fingerprint: fingerprintOf(key),
    ...(key.name === undefined ? {} : { ak_name: hex(key.name) }),
    ...(key.attributes === undefined ? {} : { ak_attributes: [...key.attributes] }),
  };
}

/** SHA-256 over the SubjectPublicKeyInfo, lower-case hex. */
const fingerprintOf = perObject(({ key }: AttestationKey) =>
  createHash('sha256')
    .update(key.export({ format: 'der', type: 'spki' }))
    .digest('hex'),
);

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Evidence whose form or cryptography does not hold: nothing of it can be believed. */
function broken(found: Reason): Appraisal {
  return {
    namespace,
    status: 'contraindicated',
    reasons: [found],
    claims: {},
    unchecked: [],
    trustworthiness: { 'instance-identity': 99, executables: 99 },
    simulated: false,
  };
}
