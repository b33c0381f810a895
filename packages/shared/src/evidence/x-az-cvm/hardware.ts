import { reason, type Reason } from '../../reasons.js';
import type { Appraisal, AppraisalInput, Endorsements, Evidence, EvidenceVerifier } from '../appraisal.js';
import { parseCertificate, splitCertificates } from '../x509.js';
import { productOfCertificate } from '../x-snp/chip-certificate.js';
import { snpVerifier } from '../x-snp/verifier.js';
import { tdxVerifier } from '../x-tdx/verifier.js';
import { amdCertificates } from './amd-certificates.js';
import type { AzureEvidence } from './evidence.js';
import type { HclReport } from './hcl-report.js';
import type { AzureCvmPolicy } from './policy.js';

/** The namespace of Azure confidential VMs. */
export const azureNamespace = 'x-az-cvm';

/** The hardware's report as evidence of its own, with what comes with it; undefined when it is not there. */
interface HardwareEvidence {
  readonly evidence: Evidence;
  readonly endorsements: Endorsements;
}

function hardwareEvidence(
  { td_quote, vcek }: AzureEvidence,
  { tee, hardwareReport }: HclReport,
  atHand: Endorsements,
): HardwareEvidence | undefined {
  if (tee === 'tdx') {
    if (td_quote === undefined) return undefined;
    return { evidence: { namespace: tdxVerifier.namespace, evidence: td_quote }, endorsements: atHand };
  }
  const own = vcek === undefined ? [] : (splitCertificates(vcek) ?? [vcek]);
  const chips = own.flatMap((der) => parseCertificate(der) ?? []);
  const chains = [...new Set(chips.flatMap((chip) => productOfCertificate(chip) ?? []))].flatMap(
    amdCertificates,
  );
  return {
    evidence: { namespace: snpVerifier.namespace, evidence: hardwareReport },
    endorsements: { ...atHand, certificates: [...atHand.certificates, ...own, ...chains] },
  };
}

/** Appraises the report of the hardware below the VM, which must be bound to the runtime data. */
export async function appraiseHardware(
  azure: AzureEvidence,
  hcl: HclReport,
  { endorsements: atHand, policy, at, simulatedRoots }: AppraisalInput<AzureCvmPolicy>,
): Promise<Appraisal> {
  const found = hardwareEvidence(azure, hcl, atHand);
  if (found === undefined) return incomplete(reason('AZ_TD_QUOTE_MISSING'));
  const { namespace } = found.evidence;
  const input = {
    ...found,
    reportData: hcl.reportData,
    at,
    simulatedRoots: simulatedRoots
      .filter((root) => root.namespace === azureNamespace)
      .map(({ fingerprint }) => ({ namespace, fingerprint })),
  };
  const { revocation } = policy;
  const appraisal =
    hcl.tee === 'snp'
      ? await snpVerifier.appraise({ ...input, policy: { ...policy.snp, revocation } })
      : tdxVerifier.appraise({ ...input, policy: { ...policy.tdx, revocation } });
  return { ...appraisal, reasons: appraisal.reasons.map(inAzureTerms) };
}

/** What is worth fetching for the hardware's report. */
export function hardwareQueries(
  azure: AzureEvidence,
  hcl: HclReport,
  atHand: Endorsements,
): ReturnType<EvidenceVerifier['endorsementQueries']> {
  const found = hardwareEvidence(azure, hcl, atHand);
  if (found === undefined) return [];
  const verifier = hcl.tee === 'snp' ? snpVerifier : tdxVerifier;
  return verifier.endorsementQueries(found.evidence, found.endorsements);
}

/** What the hardware's verifier calls its report data is here the digest of the runtime data. */
function inAzureTerms(found: Reason): Reason {
  const isBinding = found.code === 'SNP_REPORT_DATA' || found.code === 'TDX_REPORT_DATA';
  return isBinding ? reason('AZ_RUNTIME_DATA') : found;
}

function incomplete(found: Reason): Appraisal {
  return {
    namespace: tdxVerifier.namespace,
    status: 'none',
    reasons: [found],
    claims: {},
    unchecked: [],
    trustworthiness: {},
    simulated: false,
  };
}
