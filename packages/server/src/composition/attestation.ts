import { createAttesters } from '@muster/attester/attesters.js';
import { requiredNamespaces, ruleFor } from '@muster/shared/policy/policy.js';
import { Appraiser } from '../attestation/appraisal.js';
import { Challenges } from '../attestation/challenges.js';
import { cronSchedule, everyPeriod, type Schedule } from '../attestation/schedule.js';
import { SelfAttestation } from '../attestation/self-attestation.js';
import { SiteChallenges } from '../attestation/site-challenges.js';
import { VerdictBook } from '../attestation/verdict-book.js';
import { Verification } from '../attestation/verification.js';
import type { Failures } from '../ports.js';
import type { Outbox } from '../sessions/connections.js';
import { composeEndorsements, type EndorsementParts } from './endorsements.js';
import type { Foundation } from './foundation.js';

/** The parts that ask for evidence and judge it. */
export interface AttestationParts {
  readonly endorsements: EndorsementParts;
  readonly challenges: Challenges;
  readonly appraiser: Appraiser;
  readonly book: VerdictBook;
  readonly self: SelfAttestation;
  readonly sites: SiteChallenges;
  readonly verification: Verification;
}

/** Composes the parts that ask for evidence and judge it. Nothing is asked before `verification.start()`. */
export function composeAttestation(
  foundation: Foundation,
  outbox: Outbox,
  failures: Failures,
): AttestationParts {
  const {
    config,
    identity,
    store,
    signer,
    certificate,
    registry,
    activations,
    ca,
    audit,
    clock,
    logger,
    verifiers,
    observations,
  } = foundation;
  const { policy, policyDigest, simulatedRoots, session } = config;
  const { trustDomain } = identity;
  const timeoutMs = session.challenge_timeout;
  const challenges = new Challenges(clock);
  registry.watch((name, participant) => {
    if (participant === undefined) challenges.forget(name);
  });
  const endorsements = composeEndorsements(foundation);
  const appraiser = new Appraiser({
    policy,
    policyId: `sha256:${policyDigest}`,
    simulatedRoots,
    endorsements: endorsements.source,
    ...(endorsements.online !== undefined && { keys: endorsements.online.keys }),
    vouch: (participant) => activations.endorsementsOf(participant),
    trustBundle: () => ca.bundle,
    observe: (namespace, outcome) => observations.verdicts.count({ namespace, outcome }),
    signer,
    clock,
    ...(verifiers !== undefined && { verifiers }),
  });
  const book = new VerdictBook({ registry, store, audit, failures, logger, trustDomain });
  const { privateKey, publicKey } = certificate;
  const lifetimes = config.attesters.map(({ token_lifetime }) => token_lifetime);
  const self = new SelfAttestation({
    identity,
    privateKey,
    publicKey,
    attesters: createAttesters(config.attesters, clock).map((attester, index) => ({
      attester,
      tokenLifetimeMs: lifetimes[index] ?? policy.token_lifetime,
    })),
    policy,
    challenges,
    appraiser,
    timeoutMs,
    clock,
  });
  const requiredOf = (name: string): readonly string[] => {
    const rule = ruleFor(policy, { role: 'site', name });
    return rule === undefined ? [] : requiredNamespaces(rule);
  };
  const sites = new SiteChallenges({
    registry,
    challenges,
    appraiser,
    book,
    outbox,
    requiredOf,
    timeoutMs,
    clock,
    logger,
  });
  const verification = new Verification({
    registry,
    store,
    policy,
    self,
    sites,
    appraiser,
    book,
    schedule: schedule(foundation),
    clock,
    logger,
  });
  return { endorsements, challenges, appraiser, book, self, sites, verification };
}

function schedule({ config, clock }: Foundation): Schedule {
  const { verification } = config;
  return 'period' in verification
    ? everyPeriod(clock, verification.period)
    : cronSchedule(verification.schedule);
}
