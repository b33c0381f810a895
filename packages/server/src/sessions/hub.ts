import { refusal } from '@muster/shared/errors.js';
import type { SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { errorFields } from '@muster/shared/logging/logger.js';
import { reason } from '@muster/shared/reasons.js';
import type { Caller } from '../middleware/caller.js';
import type { Conversation, Responses } from '../middleware/message-stream.js';
import { RateLimiter, type RateLimit } from '../middleware/rate-limit.js';
import type { Sessions } from '../ports.js';
import { selectParticipants } from '../store/participants.js';
import { CloneWatch } from './clone-watch.js';
import { Leases } from './leases.js';
import { Liveness } from './liveness.js';
import { LiveSession, type SessionParts } from './live-session.js';
import { Opening, type OpeningOptions } from './opening.js';

/** How many sessions are opened a second: a TLS handshake costs some milliseconds of a core. */
const admission = { rate: 200, burst: 200 };
/** How many agents' heartbeats a second are wanted at most, and the longest interval that follows, ms. */
const [heartbeatsPerSecond, longestIntervalMs] = [200, 20_000];
/** How long after a drain the last agent opens its new session, ms, and which share of a lease that may take. */
const drain = { longestMs: 10_000, shareOfLease: 0.25 } as const;

/** What the sessions work with. */
export interface SessionHubOptions
  extends
    OpeningOptions,
    Omit<
      SessionParts,
      'opening' | 'leases' | 'liveness' | 'clones' | 'heartbeats' | 'intervalMs' | keyof OpeningOptions
    > {
  readonly jobs: SessionParts['jobs'];
  /** The shortest time between two heartbeats of an agent, ms. */
  readonly heartbeatIntervalMs: number;
  /** How many heartbeats each participant may send. */
  readonly heartbeatLimit: RateLimit;
  /** What the server adds to a lease until it counts a site's jobs as ended, ms. */
  readonly leaseMarginMs: number;
  /** From 0 to 1, for jitter. */
  readonly random?: () => number;
}

/** The sessions of all agents. */
export class SessionHub implements Sessions {
  readonly #options: SessionHubOptions;
  readonly #parts: SessionParts;
  readonly #admission: RateLimiter;
  #draining = false;

  constructor(options: SessionHubOptions) {
    this.#options = options;
    const { clock, registry, leaseTtlMs, leaseMarginMs } = options;
    const hadSessions = registry.all().filter(({ epoch }) => epoch > 0);
    this.#admission = new RateLimiter(admission, clock);
    this.#parts = {
      ...options,
      opening: new Opening(options),
      leases: new Leases(
        clock,
        { ttlMs: leaseTtlMs, marginMs: leaseMarginMs },
        hadSessions.map(({ name }) => name),
      ),
      liveness: new Liveness({ ...options, onSilent: (participant) => void this.#silent(participant) }),
      clones: new CloneWatch(),
      heartbeats: new RateLimiter(options.heartbeatLimit, clock),
      intervalMs: () => this.#intervalMs(),
    };
  }

  /** Expects the agents that had a session with an earlier process of this server to come back within a lease. */
  async start(): Promise<void> {
    const { store, leaseTtlMs } = this.#options;
    const participants = await store.transaction((tx) => selectParticipants(tx));
    for (const { name, role, boot_id } of participants) {
      if (role !== 'site' || boot_id === null) continue;
      this.#parts.liveness.expect(name, leaseTtlMs);
      this.#parts.clones.remember(name, boot_id);
    }
  }

  /** Serves one stream of an agent. Errors: RATE_LIMITED, SHUTTING_DOWN; the session ends with its own. */
  serve(responses: Responses<SessionResponse>, caller: Caller): Conversation<Uint8Array> {
    if (this.#draining) throw refusal('SHUTTING_DOWN');
    this.#admission.take('');
    return new LiveSession(this.#parts, caller, responses);
  }

  isConnected(participant: string): boolean {
    return this.#options.connections.get(participant) !== undefined;
  }

  leaseEndsAt(participant: string): number {
    return this.#parts.leases.endsAt(participant);
  }

  disconnect(participant: string): void {
    this.#parts.liveness.forget(participant);
    this.#parts.clones.forget(participant);
    this.#options.connections.get(participant)?.close(refusal('PARTICIPANT_REMOVED', { participant }));
  }

  drain(): void {
    this.#draining = true;
    const { connections, leaseTtlMs, random = Math.random } = this.#options;
    const withinMs = Math.min(drain.longestMs, leaseTtlMs * drain.shareOfLease);
    for (const connection of connections.all()) {
      const reconnectAfter = toDuration(Math.floor(random() * withinMs));
      connection.send({ $case: 'drain', value: { reconnectAfter } });
    }
  }

  /** Ends every session in order, after telling its agent when to come back, and all timers. */
  stop(): void {
    if (!this.#draining) this.drain();
    this.#parts.liveness.stop();
    for (const connection of this.#options.connections.all()) connection.close();
  }

  #intervalMs(): number {
    const { connections, heartbeatIntervalMs, leaseTtlMs } = this.#options;
    const adapted = Math.min(longestIntervalMs, (connections.size / heartbeatsPerSecond) * 1000);
    return Math.min(leaseTtlMs / 3, Math.max(heartbeatIntervalMs, adapted));
  }

  async #silent(participant: string): Promise<void> {
    const { registry, connections, failures, logger } = this.#options;
    const reasons = [reason('PARTICIPANT_SILENT', { participant })];
    logger.warn('participant.silent', { participant });
    connections.get(participant)?.close(refusal('PARTICIPANT_SILENT', { participant }));
    registry.setLiveness(participant, { silent: true });
    try {
      await failures.report({ kind: 'silent', participant, reasons });
    } catch (error) {
      logger.error('failure.answered', { participant, ...errorFields(error) });
    }
  }
}
