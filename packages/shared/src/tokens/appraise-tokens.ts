import type {
  Appraisal,
  Endorsements,
  Evidence,
  EvidenceVerifier,
  ServiceKeys,
  SimulatedRoot,
} from '../evidence/appraisal.js';
import { verifiers } from '../evidence/verifiers.js';
import { MusterError } from '../errors.js';
import { applyRules } from '../policy/custom-rules.js';
import { namespacePolicy, requiredNamespaces, ruleFor, type Policy, type Rule } from '../policy/policy.js';
import { reason, type Reason } from '../reasons.js';
import { formatSpiffeId, type Identity } from '../spiffe.js';
import { openAttestationToken, type TokenClaims } from './attestation-token.js';
import { reportData } from './binding.js';

/** Tokens of one participant and all that their appraisal depends on. */
export interface ParticipantAppraisalInput {
  /** The tokens presented. */
  readonly tokens: readonly OpenedToken[];
  /** Who presents them, as the certificate says. */
  readonly identity: Identity & { readonly role: 'site' | 'server' };
  /** The key of that certificate, SPKI, DER; undefined where the verifier never met the presenter. */
  readonly publicKey?: Uint8Array;
  /** The nonce that must be answered; undefined where another verifier chose it: then all must answer the same one. */
  readonly nonce?: Uint8Array;
  readonly audience: string;
  readonly policy: Policy;
  readonly endorsements: Endorsements;
  readonly simulatedRoots: readonly SimulatedRoot[];
  /** Keys of attestation services that this verifier fetched itself. */
  readonly serviceKeys?: readonly ServiceKeys[];
  /** The certificates of the federation's CAs, DER. */
  readonly trustBundle?: readonly Uint8Array[];
  readonly at: Date;
  /** The verifiers to appraise with; every one of this release unless a test brings its own. */
  readonly verifiers?: readonly EvidenceVerifier[];
}

/** A token whose form and own signature were checked, or why that failed. */
export type OpenedToken =
  { readonly jws: string; readonly claims: TokenClaims } | { readonly jws: string; readonly reason: Reason };

/** One token that was opened and its evidence appraised. */
export interface AppraisedToken {
  readonly jws: string;
  readonly claims: TokenClaims;
  readonly appraisal: Appraisal;
}

/** The verdict on a participant. */
export interface ParticipantAppraisal {
  /** True when every namespace that the policy requires is proven, or the participant is exempt. */
  readonly proven: boolean;
  readonly exempt: boolean;
  /** Why it is not proven, complete per namespace; empty when proven. */
  readonly reasons: readonly Reason[];
  /** The tokens whose binding held, with the appraisal of their evidence. */
  readonly appraised: readonly AppraisedToken[];
  /** When the first of the required tokens expires; undefined when exempt or not proven. */
  readonly expiresAt?: Date;
}

/** Opens tokens, compact JWS, to be appraised. Never throws on hostile ones. */
export function openTokens(tokens: readonly string[]): readonly OpenedToken[] {
  return tokens.map((jws) => {
    try {
      return { jws, claims: openAttestationToken(jws) };
    } catch (error) {
      return { jws, reason: error instanceof MusterError ? error.reasons[0] : reason('TOKEN_MALFORMED') };
    }
  });
}

/**
 * Decides whether a participant has proven itself: the binding of every token to presenter, audience, nonce,
 * key and time is checked, its evidence is appraised beside that of the others, which are of the same round, and every
 * namespace that the policy requires must be affirmed.
 * Anything that cannot be verified counts as "no". Never throws on hostile tokens.
 */
export async function appraiseParticipant(input: ParticipantAppraisalInput): Promise<ParticipantAppraisal> {
  const { identity, policy } = input;
  const about = { participant: identity.name };
  const rule = ruleFor(policy, identity);
  if (rule === undefined) return refused([reason('POLICY_PARTICIPANT_UNLISTED', about)]);
  const required = requiredNamespaces(rule);
  if (required.length === 0) return { proven: true, exempt: true, reasons: [], appraised: [] };

  const reasons: Reason[] = input.tokens.flatMap((token) =>
    'reason' in token ? [{ ...token.reason, ...about }] : [],
  );
  const candidates = input.tokens.flatMap((token) => ('claims' in token ? [token] : []));
  const appraised: AppraisedToken[] = [];
  const round = input.nonce ?? candidates[0]?.claims.nonce ?? new Uint8Array();
  for (const namespace of new Set(candidates.map(({ claims }) => claims.evidence.namespace))) {
    const where = { ...about, namespace };
    const [token, second] = candidates.filter(({ claims }) => claims.evidence.namespace === namespace);
    const verifier = (input.verifiers ?? verifiers).find((candidate) => candidate.namespace === namespace);
    if (token === undefined || verifier === undefined) {
      reasons.push(reason('NAMESPACE_UNKNOWN', where));
      continue;
    }
    if (second !== undefined) {
      reasons.push(reason('NAMESPACE_DUPLICATE', where));
      continue;
    }
    const broken = checkBinding(token.claims, { ...input, nonce: round });
    if (broken !== undefined) {
      reasons.push({ ...broken, ...where });
      continue;
    }
    const related = candidates.filter((other) => other !== token);
    const appraisal = await appraise(
      verifier,
      token.claims,
      related.map(({ claims }) => claims.evidence),
      rule,
      input,
    );
    appraised.push({ ...token, appraisal });
    if (!isProof(appraisal, policy))
      reasons.push(...explain(appraisal).map((entry) => ({ ...entry, ...where })));
  }
  const missing = required.filter(
    (namespace) =>
      !reasons.some((entry) => entry.namespace === namespace) &&
      !appraised.some((token) => token.appraisal.namespace === namespace),
  );
  reasons.push(...missing.map((namespace) => reason('ATTESTATION_MISSING', { ...about, namespace })));
  if (reasons.length > 0) return { ...refused(reasons), appraised };

  const expiries = appraised
    .filter((token) => required.includes(token.appraisal.namespace))
    .map((token) => token.claims.expiresAt.getTime());
  return { proven: true, exempt: false, reasons: [], appraised, expiresAt: new Date(Math.min(...expiries)) };
}

/** Appraises one token's evidence, by its verifier and the policy's own rules. A verifier that throws proves nothing. */
async function appraise(
  verifier: EvidenceVerifier,
  claims: TokenClaims,
  related: readonly Evidence[],
  rule: Rule,
  input: ParticipantAppraisalInput,
): Promise<Appraisal> {
  const { namespace } = verifier;
  const { nonce, publicKey, identity, evidence } = claims;
  const { endorsements, policy, at, simulatedRoots, serviceKeys = [], trustBundle = [] } = input;
  try {
    const appraisal = await verifier.appraise({
      evidence,
      endorsements,
      reportData: reportData({ nonce, publicKey, identity }),
      related,
      policy: namespacePolicy(policy, rule, verifier),
      at,
      simulatedRoots,
      serviceKeys,
      federation: { participant: formatSpiffeId(input.identity), roots: trustBundle },
    });
    return applyRules(policy.rules, appraisal, input.identity).appraisal;
  } catch {
    return {
      namespace,
      status: 'none',
      reasons: [reason('VERIFIER_FAILED')],
      claims: {},
      unchecked: [],
      trustworthiness: {},
      simulated: false,
    };
  }
}

/** Whether an appraisal counts as proof under a policy. */
export function isProof(appraisal: Appraisal, policy: Policy): boolean {
  return appraisal.status === 'affirming' || (appraisal.status === 'warning' && policy.accept_warning);
}

function refused(reasons: readonly Reason[]): ParticipantAppraisal {
  return { proven: false, exempt: false, reasons, appraised: [] };
}

function explain(appraisal: Appraisal): readonly Reason[] {
  return appraisal.reasons.length > 0 ? appraisal.reasons : [reason('ATTESTATION_MISSING')];
}

function checkBinding(
  claims: TokenClaims,
  input: ParticipantAppraisalInput & { readonly nonce: Uint8Array },
): Reason | undefined {
  const { policy } = input;
  const [at, issued, expires] = [input.at, claims.issuedAt, claims.expiresAt].map((date) =>
    date.getTime(),
  ) as [number, number, number];
  if (formatSpiffeId(claims.identity) !== formatSpiffeId(input.identity))
    return reason('TOKEN_ISSUER_MISMATCH');
  if (claims.audience !== input.audience) return reason('TOKEN_AUDIENCE_MISMATCH');
  if (!Buffer.from(input.nonce).equals(claims.nonce)) return reason('TOKEN_NONCE_MISMATCH');
  if (input.publicKey !== undefined && !Buffer.from(input.publicKey).equals(claims.publicKey)) {
    return reason('TOKEN_SIGNATURE_INVALID');
  }
  if (!(issued <= at + policy.clock_leeway)) return reason('TOKEN_NOT_YET_VALID');
  if (!(expires > at)) return reason('TOKEN_EXPIRED');
  if (expires - issued > policy.token_lifetime) return reason('TOKEN_LIFETIME_EXCESSIVE');
  return undefined;
}
