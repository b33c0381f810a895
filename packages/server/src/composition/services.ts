import { Enrollment } from '../enrollment/enrollment.js';
import { agentService } from '../services/agent.js';
import { enrollmentService } from '../services/enrollment.js';
import { jobService } from '../services/job.js';
import { participantMessages } from '../services/participant-messages.js';
import { participantService } from '../services/participant.js';
import { systemService } from '../services/system.js';
import type { SessionHub } from '../sessions/hub.js';
import type { AttestationParts } from './attestation.js';
import type { Services } from './endpoints.js';
import type { Foundation } from './foundation.js';
import type { JobParts } from './jobs.js';

/** Composes the implementations of the contract. */
export function composeServices(
  foundation: Foundation,
  { challenges, appraiser, verification }: AttestationParts,
  { admission, shutdown }: JobParts,
  hub: SessionHub,
): Services {
  const { config, identity, store, ca, signer, registry, activations, audit, clock, logger } = foundation;
  const { policy, name: serverName, session } = config;
  const { trustDomain } = identity;
  const certificateLifetimeMs = config.certificates.site_lifetime;
  const timeoutMs = session.challenge_timeout;
  const participantMessage = participantMessages({
    registry,
    policy,
    trustDomain,
    jobsOf: (name) => admission.siteEvents.permitsOf(name).map(({ jobId }) => jobId),
  });
  registry.watch((name, participant) => {
    if (participant === undefined) activations.forget(name);
  });
  const enrollment = new Enrollment({
    store,
    ca,
    registry,
    challenges,
    activations,
    appraiser,
    audit,
    policy,
    challengeTimeoutMs: timeoutMs,
    certificateLifetimeMs,
    logger,
    clock,
  });
  const common = { store, registry, audit, policy, serverName, participantMessage, clock };
  return {
    agent: agentService({ store, registry, hub, ca, audit, certificateLifetimeMs, logger }),
    enrollment: enrollmentService(enrollment, ca),
    job: jobService(admission),
    participant: participantService({
      ...common,
      caHash: () => ca.hash,
      sessions: hub,
      endJobsOf: (name, reasons, actor) => admission.stopJobsOf(name, 'all_sites', reasons, actor),
      reattest: (name) => void verification.verify([name], timeoutMs),
    }),
    system: systemService({
      ...common,
      ca,
      admission,
      attestation: verification,
      shutdown,
      signer,
      startedAt: clock.now(),
      simulated: config.simulatedRoots.length > 0,
      policyDigest: config.policyDigest,
      verifyTimeoutMs: timeoutMs,
    }),
  };
}
