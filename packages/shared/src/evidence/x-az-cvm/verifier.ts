import { createHash } from 'node:crypto';
import { perObject } from '../../memo.js';
import { reason, type Reason } from '../../reasons.js';
import type {
  Appraisal,
  AppraisalInput,
  Endorsements,
  Evidence,
  EvidenceVerifier,
  Json,
  TrustTier,
} from '../appraisal.js';
import { failedCryptography } from '../trustworthiness.js';
import {
  checkReferences,
  checkSelection,
  hasReferences,
  placePcrs,
  quoteClaims,
  type PcrValues,
} from '../x-tpm/pcrs.js';
import { parseQuote, type TpmQuote } from '../x-tpm/quote.js';
import { isSignedBy } from '../x-tpm/signature.js';
import { checkNonce } from '../x-tpm/verifier.js';
import { parseEvidence, type AzureEvidence } from './evidence.js';
import { appraiseHardware, azureNamespace, hardwareQueries } from './hardware.js';
import { parseHclReport, type HclReport } from './hcl-report.js';
import { azureCvmPolicySchema, type AzureCvmPolicy } from './policy.js';

/** The verifier of Azure confidential VMs with a vTPM. docs/namespaces/x-az-cvm.md says what it proves. */
export const azureCvmVerifier: EvidenceVerifier<AzureCvmPolicy, Promise<Appraisal>> = {
  namespace: azureNamespace,
  policySchema: azureCvmPolicySchema,
  endorsementQueries,
  appraise,
};

type Input = AppraisalInput<AzureCvmPolicy>;

/** A quote whose signature holds under the attestation key of an HCL report. */
interface BoundQuote {
  readonly quote: TpmQuote;
  readonly values: PcrValues;
}

/**
 * Appraises the evidence in this order: its form, the vTPM's quote under the key in the runtime data, the hardware's
 * report and its binding to the runtime data, the nonce, the policy. A failure of form, of the quote's signature or of
 * its PCR values ends the appraisal; from there on every reason is collected, the hardware's first.
 */
async function appraise(input: Input): Promise<Appraisal> {
  if (Number.isNaN(input.at.getTime())) return broken(reason('TPM_CLOCK_INVALID'));
  const evidence = parseEvidence(input.evidence.evidence);
  if (evidence === undefined) return broken(reason('AZ_EVIDENCE_UNREADABLE'));
  const hcl = parseHclReport(evidence.hcl_report);
  if (hcl === undefined) return broken(reason('AZ_HCL_REPORT'));
  const bound = readQuote(evidence, hcl);
  return 'code' in bound ? broken(bound) : judge(bound, evidence, hcl, input);
}

/** The vTPM signs by RSASSA with SHA-256; its signature comes without a structure around it. */
function readQuote({ tpm_quote }: AzureEvidence, { attestationKey }: HclReport): BoundQuote | Reason {
  const { message, signature, pcrs } = tpm_quote;
  const quote = parseQuote(message);
  if (quote === undefined) return reason('TPM_QUOTE_UNREADABLE');
  if (!isSignedBy(message, { scheme: 'rsassa', hash: 'sha256', signature }, attestationKey)) {
    return reason('TPM_QUOTE_SIGNATURE');
  }
  const values = placePcrs(quote, pcrs, 'sha256');
  return 'code' in values ? values : { quote, values };
}

async function judge(
  { quote, values }: BoundQuote,
  evidence: AzureEvidence,
  hcl: HclReport,
  input: Input,
): Promise<Appraisal> {
  const { policy, reportData } = input;
  const hardware = await appraiseHardware(evidence, hcl, input);
  const nonceFailure = checkNonce(quote, reportData);
  const pcrFailures = [
    ...[checkSelection(quote.selection, policy)].flatMap((found) => found ?? []),
    ...checkReferences(values, policy),
  ];
  const configurationFailures = checkConfiguration(hcl, policy);
  const own = [
    ...(nonceFailure === undefined ? [] : [nonceFailure]),
    ...pcrFailures,
    ...configurationFailures,
  ];
  const status = own.length > 0 ? 'contraindicated' : hardware.status;
  return {
    namespace: azureNamespace,
    status,
    reasons: [...hardware.reasons, ...own],
    claims: { ...claims(hcl, quote, values), [hcl.tee]: hardware.claims },
    unchecked: [...hardware.unchecked, ...(reportData === undefined ? ['report_data'] : [])],
    trustworthiness: vector(status, hardware.trustworthiness, {
      ...(nonceFailure === undefined ? {} : { 'instance-identity': 96 }),
      ...(configurationFailures.length === 0 ? {} : { configuration: 96 }),
      ...(pcrFailures.length > 0 ? { executables: 96 } : hasReferences(policy) ? { executables: 2 } : {}),
    }),
    simulated: hardware.simulated,
  };
}

function checkConfiguration({ tee, vmConfiguration }: HclReport, policy: AzureCvmPolicy): readonly Reason[] {
  return [
    policy.tees.includes(tee) ? [] : reason('AZ_TEE_NOT_ALLOWED'),
    policy.require_secure_boot && vmConfiguration['secure-boot'] !== true ? reason('AZ_SECURE_BOOT') : [],
    !policy.console && vmConfiguration['console-enabled'] !== false ? reason('AZ_CONSOLE') : [],
  ].flat();
}

function claims(hcl: HclReport, quote: TpmQuote, values: PcrValues): { readonly [key: string]: Json } {
  return {
    tee: hcl.tee,
    quote_signature: 'holds',
    ak_fingerprint: fingerprintOf(hcl),
    vm_configuration: hcl.vmConfiguration,
    user_data: hcl.userData,
    ...quoteClaims(quote, values),
  };
}

/** SHA-256 over the SubjectPublicKeyInfo of the attestation key, lower-case hex. */
const fingerprintOf = perObject(({ attestationKey }: HclReport) =>
  createHash('sha256')
    .update(attestationKey.export({ format: 'der', type: 'spki' }))
    .digest('hex'),
);

/** The hardware's vector, lowered or raised where the vTPM says more; nothing is claimed while it is incomplete. */
function vector(
  status: TrustTier,
  hardware: Appraisal['trustworthiness'],
  own: Appraisal['trustworthiness'],
): Appraisal['trustworthiness'] {
  if (status === 'none') return {};
  const isBelieved = Object.values(hardware).every((value) => value < 96);
  const raised = isBelieved
    ? own
    : Object.fromEntries(Object.entries(own).filter(([, value]) => value >= 96));
  return { ...hardware, ...raised };
}

function endorsementQueries(
  evidence: Evidence,
  atHand: Endorsements,
): ReturnType<EvidenceVerifier['endorsementQueries']> {
  const parsed = parseEvidence(evidence.evidence);
  const hcl = parsed === undefined ? undefined : parseHclReport(parsed.hcl_report);
  return parsed === undefined || hcl === undefined ? [] : hardwareQueries(parsed, hcl, atHand);
}

/** Evidence whose form or cryptography does not hold: nothing of it can be believed. */
function broken(found: Reason): Appraisal {
  return {
    namespace: azureNamespace,
    status: 'contraindicated',
    reasons: [found],
    claims: {},
    unchecked: [],
    trustworthiness: failedCryptography,
    simulated: false,
  };
}
