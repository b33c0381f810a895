import { requiredNamespaces, ruleFor, type Policy } from '@muster/shared/policy/policy.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { isProof } from '@muster/shared/tokens/appraise-tokens.js';
import type { RegisteredParticipant, Standing } from '../ports.js';

/** What a standing depends on beside the participant. */
export interface StandingContext {
  readonly policy: Policy;
  readonly at: Date;
}

/**
 * Decides whether a participant may take part in jobs: enrolled, not quarantined, not silent, and proven by an unexpired
 * token in every namespace that the policy requires of it. The reasons are complete.
 */
export function standingOf(participant: RegisteredParticipant, context: StandingContext): Standing {
  const { name, role } = participant;
  const about = { participant: name };
  const rule = ruleFor(context.policy, { role, name });
  const reasons = obstacles(participant);
  if (rule === undefined) reasons.push(reason('POLICY_PARTICIPANT_UNLISTED', about));
  const required = rule === undefined ? [] : requiredNamespaces(rule);
  const exempt = rule !== undefined && required.length === 0;
  reasons.push(...required.flatMap((namespace) => lacking(participant, namespace, context)));
  if (reasons.length > 0) return { admissible: false, exempt, reasons };
  if (exempt) return { admissible: true, exempt, reasons };
  const expiries = participant.tokens
    .filter(({ namespace }) => required.includes(namespace))
    .map(({ expiresAt }) => expiresAt.getTime());
  return { admissible: true, exempt, reasons, expiresAt: new Date(Math.min(...expiries)) };
}

function obstacles({ name, enrolledAt, quarantine, silent, role }: RegisteredParticipant): Reason[] {
  const about = { participant: name };
  const reasons: Reason[] = [];
  if (role === 'site' && enrolledAt === undefined) reasons.push(reason('PARTICIPANT_NOT_ENROLLED', about));
  if (quarantine !== undefined) reasons.push(reason('PARTICIPANT_QUARANTINED', about), ...quarantine);
  if (silent) reasons.push(reason('PARTICIPANT_SILENT', about));
  return reasons;
}

function lacking(
  { name, tokens, lastReasons }: RegisteredParticipant,
  namespace: string,
  { policy, at }: StandingContext,
): readonly Reason[] {
  const where = { participant: name, namespace };
  const token = tokens.find((candidate) => candidate.namespace === namespace);
  if (token === undefined) {
    const causes = lastReasons.filter(
      (entry) => entry.namespace === namespace && entry.code !== 'ATTESTATION_MISSING',
    );
    return [reason('ATTESTATION_MISSING', where), ...causes];
  }
  if (!(token.expiresAt.getTime() > at.getTime())) return [reason('ATTESTATION_EXPIRED', where)];
  if (isProof(token.appraisal, policy)) return [];
  return [
    reason('ATTESTATION_MISSING', where),
    ...token.appraisal.reasons.map((entry) => ({ ...entry, ...where })),
  ];
}
