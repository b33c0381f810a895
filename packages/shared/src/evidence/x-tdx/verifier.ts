import { reason, type Reason } from '../../reasons.js';
import type { Appraisal, AppraisalInput, EvidenceVerifier, TrustTier } from '../appraisal.js';
import { failedCryptography, trustworthiness } from '../trustworthiness.js';
import { findTcbSigners, type PckChain } from './chain.js';
import { platformClaims, quoteClaims, tcbClaims } from './claims.js';
import { tdxEndorsementQueries } from './endorsements.js';
import { findQeIdentity, findTcbInfo } from './find-documents.js';
import { tdxPolicySchema, type TdxPolicy } from './policy.js';
import { policyFailures } from './policy-checks.js';
import { proveQuote } from './proof.js';
import { parseQuote, type TdxQuote } from './quote.js';
import { checkRevocation } from './revocation.js';
import { assessTcb, type TcbStanding } from './tcb.js';

const namespace = 'x-tdx';

type Input = AppraisalInput<TdxPolicy>;

/** The verifier of Intel TDX quotes. docs/namespaces/x-tdx.md says what it proves. */
export const tdxVerifier: EvidenceVerifier<TdxPolicy, Appraisal> = {
  namespace,
  policySchema: tdxPolicySchema,
  endorsementQueries: tdxEndorsementQueries,
  appraise,
};

/**
 * Appraises a quote in this order: its form; what can be established from the quote alone, down to its signature; the
 * collateral and what it says of the platform; binding and policy. A failure up to the signature ends the appraisal,
 * since nothing after it would mean anything; from there on every reason is collected.
 */
function appraise(input: Input): Appraisal {
  if (Number.isNaN(input.at.getTime())) return refused(reason('TDX_CLOCK_INVALID'));
  const quote = parseQuote(input.evidence.evidence);
  if ('code' in quote) return refused(quote);
  const roots = input.simulatedRoots.filter((root) => root.namespace === namespace);
  const chain = proveQuote(quote, {
    at: input.at,
    simulatedRoots: roots.map(({ fingerprint }) => fingerprint),
  });
  if ('code' in chain) return { ...refused(chain), claims: quoteClaims(quote) };
  return judge(quote, chain, input);
}

/** Applies what depends on the collateral, the nonce and the policy to a quote whose signature holds. */
function judge(quote: TdxQuote, chain: PckChain, input: Input): Appraisal {
  const { policy, reportData } = input;
  const { report } = quote;
  const { tcb, refusals, missing, unchecked } = consult(quote, chain, input);
  const wrong = [
    ...refusals,
    ...(report.seamAttributes.every((byte) => byte === 0) ? [] : [reason('TDX_MODULE_ATTRIBUTES')]),
    ...(report.tdAttributes.unknown ? [reason('TDX_TD_ATTRIBUTES_UNKNOWN')] : []),
    ...(reportData === undefined || Buffer.from(report.reportData).equals(reportData)
      ? []
      : [reason('TDX_REPORT_DATA')]),
  ];
  const failures = policyFailures({ report, platform: chain.platform, tcb }, policy);
  const status = tier({
    isRefused: wrong.length > 0 || failures.some(({ isSoft }) => !isSoft),
    isIncomplete: missing.length > 0,
    isWarned: failures.length > 0,
  });
  return {
    namespace,
    status,
    reasons: [...wrong, ...failures.map((failure) => failure.reason), ...missing],
    claims: {
      ...(tcb === undefined ? {} : tcbClaims(tcb)),
      ...quoteClaims(quote),
      ...platformClaims(chain),
      verified: ['pck_chain', 'qe_report', 'qe_binding', 'quote_signature'],
    },
    unchecked: [...unchecked, ...(reportData === undefined ? ['report_data'] : [])],
    trustworthiness: trustworthiness({
      failures,
      hardware: wrong.length > 0 ? 'refused' : tcb === undefined ? 'unknown' : 'known',
      hasReferenceValues: policy.mrtd !== undefined,
      isIncomplete: status === 'none',
    }),
    simulated: chain.simulated,
  };
}

/** What the collateral at hand says of a platform. */
interface Consultation {
  readonly tcb: TcbStanding | undefined;
  readonly refusals: readonly Reason[];
  readonly missing: readonly Reason[];
  readonly unchecked: readonly string[];
}

/**
 * Reads the collateral: revocation lists, TCB info and QE identity. A policy that takes lists as optional does without
 * all of them, but where there is one the other must be there as well.
 */
function consult(quote: TdxQuote, chain: PckChain, input: Input): Consultation {
  const { endorsements, policy, at } = input;
  const signers = findTcbSigners(endorsements.certificates, chain.root, at);
  const documents = { documents: endorsements.documents ?? [], signers, at };
  const tcbInfo = findTcbInfo(documents, chain.platform);
  const qeIdentity = findQeIdentity(documents);
  const standing =
    'value' in tcbInfo && 'value' in qeIdentity
      ? assessTcb(quote, chain.platform, tcbInfo.value, qeIdentity.value)
      : [];
  const outcomes = [tcbInfo, qeIdentity];
  const revocation = checkRevocation(chain, 'code' in signers ? [] : signers, endorsements.crls, at);
  const refusedDocuments = new Set(outcomes.flatMap((found) => ('refusal' in found ? [found.refusal] : [])));
  const isOptional = policy.revocation === 'optional' && endorsements.crls.length === 0;
  return {
    tcb: 'status' in standing ? standing : undefined,
    refusals: [...revocation.refusals, ...refusedDocuments, ...('status' in standing ? [] : standing)],
    missing: [
      ...(isOptional ? [] : revocation.missing),
      ...outcomes.flatMap((found) => ('missing' in found ? [found.missing] : [])),
    ],
    unchecked: isOptional ? ['crl'] : [],
  };
}

function tier(found: { isRefused: boolean; isIncomplete: boolean; isWarned: boolean }): TrustTier {
  if (found.isRefused) return 'contraindicated';
  if (found.isIncomplete) return 'none';
  return found.isWarned ? 'warning' : 'affirming';
}

function refused(because: Reason): Appraisal {
  return {
    namespace,
    status: 'contraindicated',
    reasons: [because],
    claims: {},
    unchecked: [],
    trustworthiness: failedCryptography,
    simulated: false,
  };
}
