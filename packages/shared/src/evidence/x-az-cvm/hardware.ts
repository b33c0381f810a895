import type { Appraisal, AppraisalInput, Endorsements, Evidence } from '../appraisal.js';
import { splitCertificates } from '../x509.js';
import { snpVerifier } from '../x-snp/verifier.js';
import { amdCertificates } from './amd-certificates.js';
import type { AzureEvidence } from './evidence.js';
import type { HclReport } from './hcl-report.js';
import type { AzureCvmPolicy } from './policy.js';

/** The SEV-SNP report as evidence of its own. */
export function snpEvidence({ hardwareReport }: HclReport): Evidence {
  return { namespace: snpVerifier.namespace, evidence: hardwareReport };
}

/** Adds to what is at hand the certificate that comes with the evidence, and AMD's own. */
export function snpEndorsements({ vcek }: AzureEvidence, atHand: Endorsements): Endorsements {
  const own = vcek === undefined ? [] : (splitCertificates(vcek) ?? [vcek]);
  return { ...atHand, certificates: [...atHand.certificates, ...own, ...amdCertificates] };
}

/** Appraises the report of the hardware below the VM, which must be bound to the runtime data. */
export function appraiseSnp(
  evidence: AzureEvidence,
  hcl: HclReport,
  { endorsements, policy, at, simulatedRoots }: AppraisalInput<AzureCvmPolicy>,
): Appraisal {
  return snpVerifier.appraise({
    evidence: snpEvidence(hcl),
    endorsements: snpEndorsements(evidence, endorsements),
    reportData: hcl.reportData,
    policy: { ...policy.snp, revocation: policy.revocation },
    at,
    simulatedRoots: simulatedRoots.map(({ fingerprint }) => ({
      namespace: snpVerifier.namespace,
      fingerprint,
    })),
  });
}
