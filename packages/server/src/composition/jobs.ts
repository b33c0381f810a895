import { Admission } from '../admission/admission.js';
import { CommandQueue } from '../commands/command-queue.js';
import { Responses } from '../responses/responses.js';
import type { Outbox } from '../sessions/connections.js';
import { Leases } from '../sessions/leases.js';
import { Shutdown } from '../shutdown/shutdown.js';
import type { Foundation } from './foundation.js';

/** How long after its lease ended a site's jobs have certainly ended, beyond the grace of a stop, ms. */
const leaseMarginMs = 5_000;

/** The parts that permit jobs and take permission back. */
export interface JobParts {
  readonly commands: CommandQueue;
  readonly leases: Leases;
  readonly admission: Admission;
  readonly shutdown: Shutdown;
  readonly responses: Responses;
}

/** Composes the parts that permit jobs and take permission back. `endServer` ends this process in order. */
export function composeJobs(foundation: Foundation, outbox: Outbox, endServer: () => void): JobParts {
  const { config, store, signer, registry, audit, clock, logger } = foundation;
  const { policy, session, admission: checks, stop, name: serverName } = config;
  const terms = { ttlMs: session.lease_ttl, marginMs: stop.grace + leaseMarginMs };
  const sites = registry.all().filter(({ role, epoch }) => role === 'site' && epoch > 0);
  const leases = new Leases(
    clock,
    terms,
    sites.map(({ name }) => name),
  );
  const leaseEndsAt = (participant: string): number => leases.endsAt(participant);
  const commands = new CommandQueue({ store, clock, outbox, logger });
  const common = { store, registry, commands, audit, clock, logger };
  const admission = new Admission({
    ...common,
    policy,
    signer,
    serverName,
    leaseEndsAt,
    longestLeaseMs: terms.ttlMs + terms.marginMs,
    checkTimeoutMs: checks.check_timeout,
    stopGraceMs: stop.grace,
  });
  const shutdown = new Shutdown({ ...common, admission, stopGraceMs: stop.grace, leaseEndsAt, endServer });
  const responses = new Responses({
    ...common,
    admission,
    shutdown,
    policy,
    actor: foundation.spiffeId,
    serverName,
  });
  return { commands, leases, admission, shutdown, responses };
}
