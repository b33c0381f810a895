import { verify } from 'node:crypto';
import { promisify } from 'node:util';
import { reason, type Reason } from '../../reasons.js';
import type { Appraisal, AppraisalInput, EvidenceVerifier, TrustTier } from '../appraisal.js';
import { failedCryptography, trustworthiness } from '../trustworthiness.js';
import { findChains, sortCertificates, type ChainFailure, type SnpChain } from './chain.js';
import { reportClaims } from './claims.js';
import { candidateProducts, collectCertificates, snpEndorsementQueries } from './endorsements.js';
import { snpPolicySchema, type SnpPolicy } from './policy.js';
import { inconsistency, policyFailures, type PolicySubject, type ReportTcbs } from './policy-checks.js';
import { decodeTcb, type Product } from './product.js';
import { parseReport, type SnpReport } from './report.js';
import { checkRevocation } from './revocation.js';

const namespace = 'x-snp';
/** More than any honest set: bounds the signatures that a hostile one makes the verifier compute. */
const maxCertificates = 24;

type Input = AppraisalInput<SnpPolicy>;

/** The verifier of AMD SEV-SNP attestation reports. docs/namespaces/x-snp.md says what it proves. */
export const snpVerifier: EvidenceVerifier<SnpPolicy, Promise<Appraisal>> = {
  namespace,
  policySchema: snpPolicySchema,
  endorsementQueries: snpEndorsementQueries,
  appraise,
};

/**
 * Appraises a report in this order: its form, the chain of its certificates, its signature, revocation, binding,
 * consistency, policy. A failure up to and including the signature ends the appraisal, since nothing after it would
 * mean anything; from there on every reason is collected.
 */
async function appraise(input: Input): Promise<Appraisal> {
  if (Number.isNaN(input.at.getTime())) return refused([reason('SNP_CLOCK_INVALID')]);
  const report = parseReport(input.evidence.evidence);
  if ('code' in report) return refused([report]);
  const proof = await prove(report, input);
  if ('reason' in proof) {
    const { reason, missing } = proof;
    return { ...refused([reason], missing ? 'none' : 'contraindicated'), claims: reportClaims(report) };
  }
  return judge(report, proof, input);
}

/** Establishes that a genuine chip signed the report. */
async function prove(report: SnpReport, input: Input): Promise<SnpChain | ChainFailure> {
  const { certificates, unreadable, malformedTable } = collectCertificates(
    input.evidence,
    input.endorsements.certificates,
  );
  if (malformedTable) return wrong(reason('SNP_CERTIFICATE_TABLE'));
  if (unreadable) return wrong(reason('SNP_CERTIFICATE_UNREADABLE'));
  const sorted = sortCertificates(certificates);
  if (Object.values(sorted).flat().length > maxCertificates) {
    return wrong(reason('SNP_CERTIFICATES_EXCESSIVE'));
  }
  if (report.cpuid === undefined && sorted.chips.length === 0) {
    return { missing: true, reason: reason('SNP_CHIP_CERTIFICATE_MISSING') };
  }
  const roots = input.simulatedRoots.filter((root) => root.namespace === namespace);
  const trust = { at: input.at, simulatedRoots: roots.map(({ fingerprint }) => fingerprint) };
  const outcomes = candidateProducts(report, sorted).map((product) =>
    findChains(report, product, sorted, trust),
  );
  const chains = outcomes.flatMap((outcome) => ('reason' in outcome ? [] : outcome));
  if (chains.length === 0) {
    return outcomes.find((outcome) => 'reason' in outcome) ?? wrong(reason('SNP_PRODUCT_UNKNOWN'));
  }
  for (const chain of chains) if (await isSignedBy(report, chain)) return chain;
  return wrong(reason('SNP_REPORT_SIGNATURE'));
}

/** Applies what depends on the policy, the nonce and the platform's state to a report whose signature holds. */
function judge(report: SnpReport, chain: SnpChain, input: Input): Appraisal {
  const { policy, reportData, endorsements, at } = input;
  const subject = policySubject(report, chain.product);
  const revocation = checkRevocation(chain, endorsements.crls, at);
  const isListMissing = !revocation.checked && revocation.absent;
  const refusals = [
    ...(!revocation.checked && !revocation.absent ? [revocation.reason] : []),
    ...(reportData === undefined || Buffer.from(report.reportData).equals(reportData)
      ? []
      : [reason('SNP_REPORT_DATA')]),
    ...('code' in subject ? [subject] : [inconsistency(subject) ?? []].flat()),
  ];
  const failures = 'code' in subject ? [] : policyFailures(subject, policy);
  const missing = isListMissing && policy.revocation === 'required' ? [reason('SNP_CRL_MISSING')] : [];
  const reasons = [...refusals, ...failures.map((failure) => failure.reason), ...missing];
  const isRefused = refusals.length > 0 || failures.some(({ isSoft }) => !isSoft);
  const status = tier({ isRefused, isIncomplete: missing.length > 0, isWarned: failures.length > 0 });
  return {
    namespace,
    status,
    reasons,
    claims: reportClaims(report, chain),
    unchecked: [
      ...(isListMissing && missing.length === 0 ? ['crl'] : []),
      ...(reportData === undefined ? ['report_data'] : []),
    ],
    trustworthiness: trustworthiness({
      failures,
      hardware: refusals.length > 0 ? 'refused' : 'known',
      hasReferenceValues: policy.measurements !== undefined,
      isIncomplete: status === 'none',
    }),
    simulated: chain.simulated,
  };
}

function tier(found: { isRefused: boolean; isIncomplete: boolean; isWarned: boolean }): TrustTier {
  if (found.isRefused) return 'contraindicated';
  if (found.isIncomplete) return 'none';
  return found.isWarned ? 'warning' : 'affirming';
}

/** ECDSA P-384 with SHA-384 over everything before the signature; half a millisecond or more, on another thread. */
function isSignedBy(report: SnpReport, { chip }: SnpChain): Promise<boolean> {
  return verified(
    'sha384',
    report.signedData,
    { key: chip.publicKey, dsaEncoding: 'ieee-p1363' },
    report.signature,
  );
}

const verified = promisify(verify);

function policySubject(report: SnpReport, product: Product): PolicySubject | Reason {
  const current = decodeTcb(product, report.currentTcb);
  const reported = decodeTcb(product, report.reportedTcb);
  const committed = decodeTcb(product, report.committedTcb);
  const launch = decodeTcb(product, report.launchTcb);
  if (current === undefined || reported === undefined || committed === undefined || launch === undefined) {
    return reason('SNP_TCB_RESERVED');
  }
  const tcbs: ReportTcbs = { current, reported, committed, launch };
  return { report, product, tcbs };
}

function wrong(reason: Reason): ChainFailure {
  return { missing: false, reason };
}

function refused(reasons: readonly Reason[], status: TrustTier = 'contraindicated'): Appraisal {
  return {
    namespace,
    status,
    reasons,
    claims: {},
    unchecked: [],
    trustworthiness: status === 'none' ? {} : failedCryptography,
    simulated: false,
  };
}
