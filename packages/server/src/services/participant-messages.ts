import { TrustTier as Tier, type NamespaceAppraisal } from '@muster/shared/gen/muster/v1/attestation.js';
import { ParticipantState as State, type Participant } from '@muster/shared/gen/muster/v1/participant.js';
import type { TrustTier } from '@muster/shared/evidence/appraisal.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { requiredNamespaces, ruleFor, type Policy } from '@muster/shared/policy/policy.js';
import type { Reason } from '@muster/shared/reasons.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import type { RegisteredParticipant, RegisteredToken, Registry, Standing } from '../ports.js';

const tiers: Readonly<Record<TrustTier, Tier>> = {
  none: Tier.NONE,
  affirming: Tier.AFFIRMING,
  warning: Tier.WARNING,
  contraindicated: Tier.CONTRAINDICATED,
};

/** What a participant's message is made with. */
export interface ParticipantMessageOptions {
  readonly registry: Pick<Registry, 'standing'>;
  readonly policy: Policy;
  readonly trustDomain: string;
  /** The jobs that have a permit at a participant. */
  readonly jobsOf: (participant: string) => readonly string[];
}

/** Makes a participant as ParticipantService shows it, at this moment. */
export function participantMessages(
  options: ParticipantMessageOptions,
): (participant: RegisteredParticipant) => Participant {
  const { registry, policy, trustDomain, jobsOf } = options;
  return (participant) => {
    const { name, role, connected, lastSeenAt, tokens, enrolledAt, epoch, agentVersion } = participant;
    const standing = registry.standing(name);
    const rule = ruleFor(policy, participant);
    return {
      name,
      spiffeId: formatSpiffeId({ trustDomain, role, name }),
      state: stateOf(participant, standing),
      connected,
      lastSeenAt,
      requiredNamespaces: rule === undefined ? [] : [...requiredNamespaces(rule)],
      appraisals: tokens.map(appraisalMessage),
      reasons: reasonsOf(participant, standing).map(toReasonMessage),
      exempt: standing.exempt,
      server: role === 'server',
      enrolledAt,
      epoch: BigInt(epoch),
      agentVersion,
      jobs: [...jobsOf(name)],
    };
  };
}

function stateOf({ quarantine, enrolledAt, silent }: RegisteredParticipant, standing: Standing): State {
  if (quarantine !== undefined) return State.QUARANTINED;
  if (enrolledAt === undefined) return State.INVITED;
  if (silent) return State.SILENT;
  return standing.admissible ? State.TRUSTED : State.UNPROVEN;
}

/** Why it is barred; else what was last wrong; else what it lacks. One that has not enrolled yet lacks nothing. */
function reasonsOf(
  { quarantine, lastReasons, enrolledAt }: RegisteredParticipant,
  standing: Standing,
): readonly Reason[] {
  if (quarantine !== undefined) return quarantine;
  if (lastReasons.length > 0) return lastReasons;
  return enrolledAt === undefined ? [] : standing.reasons;
}

function appraisalMessage(token: RegisteredToken): NamespaceAppraisal {
  const { namespace, appraisal, appraisedAt, expiresAt, evidenceDigest, ear } = token;
  return {
    namespace,
    tier: tiers[appraisal.status],
    reasons: appraisal.reasons.map(toReasonMessage),
    appraisedAt,
    expiresAt,
    evidenceDigest,
    ear,
    simulated: appraisal.simulated,
  };
}
