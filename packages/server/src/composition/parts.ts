import { Connections } from '../sessions/connections.js';
import { SessionHub } from '../sessions/hub.js';
import { TrustPush } from '../sessions/trust-push.js';
import { composeAttestation, type AttestationParts } from './attestation.js';
import type { Foundation } from './foundation.js';
import { composeJobs, leaseMarginMs, type JobParts } from './jobs.js';

/** The parts of a server between its foundation and its endpoints. */
export interface Parts {
  readonly jobs: JobParts;
  readonly attestation: AttestationParts;
  readonly hub: SessionHub;
  readonly trust: TrustPush;
}

/** Composes the parts of a server. Nothing begins before they are started. `endServer` ends this process in order. */
export function composeParts(foundation: Foundation, endServer: () => void): Parts {
  const { config, store, ca, registry, signer, clock, logger } = foundation;
  const connections = new Connections();
  const jobs = composeJobs(foundation, connections, (participant) => hub.leaseEndsAt(participant), endServer);
  const { commands, admission, responses } = jobs;
  const attestation = composeAttestation(foundation, connections, responses);
  const { self, sites, verification } = attestation;
  const trust = new TrustPush({ store, ca, outbox: connections, clock });
  const hub = new SessionHub({
    store,
    registry,
    connections,
    commands,
    jobs: admission.siteEvents,
    self,
    sites,
    verification,
    failures: responses,
    signer,
    trust,
    heartbeatIntervalMs: config.session.heartbeat_interval,
    heartbeatLimit: { rate: config.limits.calls_per_caller, burst: config.limits.calls_per_caller },
    leaseTtlMs: config.session.lease_ttl,
    leaseMarginMs: leaseMarginMs(config),
    graceLimitMs: config.stop.grace,
    clock,
    logger,
  });
  return { jobs, attestation, hub, trust };
}
