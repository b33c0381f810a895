import * as z from 'zod';
import { reason, type Reason } from '../../reasons.js';
import { objectOf, textAnswers, type ClaimSet } from './claims.js';
import { commonPolicy } from './policy.js';
import { boundReportData, runtimeData } from './runtime-data.js';
import type { ServiceClaims } from './token.js';
import { tokenVerifier } from './verifier.js';
import { readSingle } from './bundle.js';

const policySchema = z.strictObject({
  ...commonPolicy([]),
  /** What the service found the machine to comply with. */
  compliance: z
    .array(z.enum(['azure-compliant-cvm', 'azure-compliant-uvm']))
    .min(1)
    .default(['azure-compliant-cvm', 'azure-compliant-uvm']),
});

/** The verifier of Microsoft Azure Attestation's tokens about confidential VMs. */
export const maaVerifier = tokenVerifier<z.output<typeof policySchema>>({
  namespace: 'maa',
  policySchema,
  algorithms: ['RS256'],
  read: readSingle,
  checkBinding: (claims, reportData) =>
    'x-ms-isolation-tee' in claims
      ? checkClientNonce(claims, reportData)
      : checkRuntimeBinding(claims, reportData),
  judge: ({ main }, { compliance }) => checkMachine(main, compliance),
});

/** The hardware's part of a token: nested where the service attested a VM through its vTPM. */
function hardwareOf(claims: ServiceClaims): ClaimSet {
  return objectOf(claims['x-ms-isolation-tee']) ?? claims;
}

/** Debugging, migration, privilege level and compliance of the machine. */
export function checkMachine(claims: ServiceClaims, compliance: readonly string[]): readonly Reason[] {
  const hardware = hardwareOf(claims);
  const type = hardware['x-ms-attestation-type'];
  const status = hardware['x-ms-compliance-status'];
  const isCompliant = typeof status === 'string' && compliance.includes(status);
  const noncompliant = isCompliant ? [] : [claimReason('x-ms-compliance-status')];
  if (type === 'tdxvm') {
    return [
      ...noncompliant,
      ...(hardware['tdx_td_attributes_debug'] === false ? [] : [reason('SERVICE_DEBUG')]),
    ];
  }
  if (type !== 'sevsnpvm') return [claimReason('x-ms-attestation-type'), ...noncompliant];
  return [
    ...noncompliant,
    ...(hardware['x-ms-sevsnpvm-is-debuggable'] === false ? [] : [reason('SERVICE_DEBUG')]),
    ...(hardware['x-ms-sevsnpvm-vmpl'] === 0 ? [] : [claimReason('x-ms-sevsnpvm-vmpl')]),
    ...(hardware['x-ms-sevsnpvm-migration-allowed'] === false
      ? []
      : [claimReason('x-ms-sevsnpvm-migration-allowed')]),
  ];
}

/** The hardware's report must carry the digest of the runtime data that was made for this nonce. */
export function checkRuntimeBinding(
  claims: ServiceClaims,
  reportData: Uint8Array | undefined,
): Reason | undefined {
  const bound = claims['x-ms-sevsnpvm-reportdata'] ?? claims['tdx_report_data'];
  if (typeof bound !== 'string' || bound === '') return reason('SERVICE_NONCE_MISSING');
  if (reportData === undefined) return undefined;
  const isBound = bound.toLowerCase() === boundReportData(runtimeData(reportData));
  return isBound ? undefined : reason('SERVICE_NONCE');
}

/** The nonce that the client in the VM gave to the vTPM; the service's own claim `nonce` is bound to nothing. */
function checkClientNonce(claims: ServiceClaims, reportData: Uint8Array | undefined): Reason | undefined {
  const nonce = objectOf(objectOf(claims['x-ms-runtime'])?.['client-payload'])?.['nonce'];
  if (typeof nonce !== 'string' || nonce === '') return reason('SERVICE_NONCE_MISSING');
  return reportData === undefined || textAnswers(nonce, reportData) ? undefined : reason('SERVICE_NONCE');
}

function claimReason(claim: string): Reason {
  return reason('SERVICE_CLAIM', { message: `The claim ${claim} is not as it must be.`, path: claim });
}
