import { Admission } from '../admission/admission.js';
import { CommandQueue } from '../commands/command-queue.js';
import type { ServerConfig } from '../config/config.js';
import { Responses } from '../responses/responses.js';
import type { Outbox } from '../sessions/connections.js';
import { Shutdown } from '../shutdown/shutdown.js';
import type { Foundation } from './foundation.js';

/** How long processes take to end after SIGKILL, or a supervisor to notice that its agent hangs, ms. */
const endingMs = 10_000;

/** The parts that permit jobs and take permission back. */
export interface JobParts {
  readonly commands: CommandQueue;
  readonly admission: Admission;
  readonly shutdown: Shutdown;
  readonly responses: Responses;
}

/** How long the server waits beyond a lease until it counts a site's jobs as ended, ms. Sites are told the grace. */
export function leaseMarginMs({ stop }: ServerConfig): number {
  return stop.grace + endingMs;
}

/**
 * Composes the parts that permit jobs and take permission back. `leaseEndsAt` says when a site's last lease has certainly
 * ended; `endServer` ends this process in order.
 */
export function composeJobs(
  foundation: Foundation,
  outbox: Outbox,
  leaseEndsAt: (participant: string) => number,
  endServer: () => void,
): JobParts {
  const { config, store, signer, registry, audit, clock, logger } = foundation;
  const { policy, session, admission: checks, stop, name: serverName } = config;
  const commands = new CommandQueue({ store, clock, outbox, logger });
  const common = { store, registry, commands, audit, clock, logger };
  const admission = new Admission({
    ...common,
    policy,
    signer,
    serverName,
    leaseEndsAt,
    longestLeaseMs: session.lease_ttl + leaseMarginMs(config),
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
  return { commands, admission, shutdown, responses };
}
