import { createHash, randomBytes } from 'node:crypto';
import type { Clock, Timer } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type { Challenge } from '@muster/shared/gen/muster/v1/attestation.js';
import {
  SiteJobState,
  type AgentServiceClient,
  type Attestation,
  type Command,
  type DesiredState,
  type Hello,
  type TrustBundle,
  type Welcome,
} from '@muster/shared/gen/muster/v1/agent.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { protocolVersions } from '@muster/shared/protocol.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { nonceBytes } from '@muster/shared/tokens/binding.js';
import type { JobReport } from '../jobs/job-record.js';
import type { JobSupervisor, RunningJob } from '../jobs/supervisor.js';
import { version } from '../version.js';
import type { CommandResult } from './command-log.js';
import type { Connection, ConnectionListener, ServerPeer } from './connection.js';
import { isHeld } from './lease.js';
import type { Outgoing } from './outbox.js';
import { decide, initialState, nextTick } from './session-state.js';
import type { SessionEffect, SessionEvent, SessionState, StreamId } from './session-types.js';

/** The server of the present session. */
export interface SessionServer {
  readonly peer: ServerPeer;
  /** The keys that sign permits, a JWK set in JSON. */
  readonly jwks: string;
  /** Why the server is not proven to this site's own policy; empty when it is. Never rejects. */
  readonly standing: Promise<readonly Reason[]>;
  readonly client: AgentServiceClient;
}

/** What the session needs of the rest of the agent. */
export interface SessionParts {
  readonly clock: Clock;
  /** Random numbers in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
  readonly jobs: Pick<JobSupervisor, 'running' | 'limitGrace' | 'stopAll' | 'onReport'>;
  readonly namespaces: readonly string[];
  /** Opens a stream; throws a MusterError when that is pointless. */
  readonly connect: (listener: ConnectionListener) => Connection;
  /** Appraises the server's evidence, which must answer the nonce; no reasons mean proven. */
  readonly judgeServer: (peer: ServerPeer, welcome: Welcome, nonce: Uint8Array) => Promise<readonly Reason[]>;
  readonly apply: (command: Command, session: Session) => Promise<CommandResult>;
  /** Ends whatever runs beside the desired state; false when some of it could not be ended. */
  readonly reconcile: (desired: DesiredState, session: Session) => Promise<boolean>;
  readonly attest: (challenge: Challenge) => Promise<Attestation>;
  /** Gets a new certificate, with which {@link Session.handOver} is called; rejects when that is impossible for good. */
  readonly enrol: () => Promise<void>;
  /** The CAs that are trusted; `follow` throws when it refuses a bundle. */
  readonly trust: { readonly trustDigest: Buffer; follow(bundle: TrustBundle): void };
  /** The server has ended the agent: its jobs are stopped and the server knows. */
  readonly onShutdown: () => void;
  readonly onFailure: (error: MusterError) => void;
}

interface Waiter {
  readonly resolve: (held: boolean) => void;
  readonly timer: Timer;
}

/** The agent's session with the server: carries out what session-state.ts decides. */
export class Session {
  readonly #parts: SessionParts;
  readonly #bootId = randomBytes(16).toString('hex');
  readonly #connections = new Map<StreamId, { readonly connection: Connection; readonly nonce: Buffer }>();
  readonly #events: SessionEvent[] = [];
  readonly #waiters = new Set<Waiter>();
  #server: (SessionServer & { readonly stream: StreamId }) | undefined;
  #state: SessionState;
  #timer: Timer | undefined;
  #deciding = false;
  #closed: () => void = () => undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#state = initialState(parts.clock.monotonic());
    parts.jobs.onReport((report) => this.report({ $case: 'jobReport', value: jobReport(report) }));
  }

  /** Opens the first stream. */
  start(): void {
    this.#dispatch({ type: 'tick' });
  }

  get state(): SessionState {
    return this.#state;
  }

  /** The server of the present session; undefined while there is none. */
  get server(): SessionServer | undefined {
    return this.#server?.stream === this.#state.active?.id ? this.#server : undefined;
  }

  /** The server's time, as far as this session knows it. */
  serverNow(): Date {
    const { clock } = this.#parts;
    const { active } = this.#state;
    return active === undefined ? clock.now() : new Date(active.serverClockMs + clock.monotonic());
  }

  /** How long jobs may still run without word from the server, ms; undefined without a lease. */
  get leaseLeftMs(): number | undefined {
    const { endsAt } = this.#state.lease;
    return endsAt === undefined ? undefined : Math.max(0, endsAt - this.#parts.clock.monotonic());
  }

  /** Whether a lease is held, now or within a time. */
  holdsLease(withinMs: number): Promise<boolean> {
    const { clock } = this.#parts;
    if (isHeld(this.#state.lease, clock.monotonic())) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiter = {
        resolve,
        timer: clock.schedule(withinMs, () => {
          this.#waiters.delete(waiter);
          resolve(false);
        }),
      };
      this.#waiters.add(waiter);
    });
  }

  /** Sends what must reach the server, now or on the next stream. */
  report(message: Outgoing): void {
    this.#dispatch({ type: 'report', message });
  }

  /** Opens a new session beside the present one and then leaves that, so that a new certificate is used. */
  handOver(): void {
    this.#dispatch({ type: 'handover' });
  }

  /** Says Goodbye, and resolves when the server has ended the stream or the time is over. Stop the jobs first. */
  async leave(withinMs: number): Promise<void> {
    const gone = new Promise<void>((resolve) => (this.#closed = resolve));
    this.#dispatch({ type: 'leave' });
    const timer = this.#parts.clock.schedule(withinMs, this.#closed);
    if (this.#connections.size > 0) await gone;
    timer.cancel();
    for (const { connection } of this.#connections.values()) connection.abort();
    this.#timer?.cancel();
  }

  #dispatch(event: SessionEvent): void {
    const { clock, random } = this.#parts;
    this.#events.push(event);
    if (this.#deciding) return;
    this.#deciding = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#nextEvent()) {
      const { state, effects } = decide(this.#state, next, { now: clock.monotonic(), random: random() });
      this.#state = state;
      for (const effect of effects) this.#perform(effect);
    }
    this.#deciding = false;
    this.#wake();
    this.#timer?.cancel();
    const at = nextTick(this.#state);
    if (at === undefined) return;
    this.#timer = clock.schedule(at - clock.monotonic(), () => this.#dispatch({ type: 'tick' }));
  }

  /** What has happened meanwhile, or a tick when something is due already. */
  #nextEvent(): SessionEvent | undefined {
    const due = (nextTick(this.#state) ?? Infinity) <= this.#parts.clock.monotonic();
    return this.#events.shift() ?? (due ? { type: 'tick' } : undefined);
  }

  #wake(): void {
    if (!isHeld(this.#state.lease, this.#parts.clock.monotonic())) return;
    for (const { timer, resolve } of this.#waiters) {
      timer.cancel();
      resolve(true);
    }
    this.#waiters.clear();
  }

  #perform(effect: SessionEffect): void {
    const { logger, jobs } = this.#parts;
    switch (effect.type) {
      case 'open':
        return this.#open(effect.stream);
      case 'send':
        return this.#connections.get(effect.stream)?.connection.send(effect.message);
      case 'heartbeat':
        return this.#heartbeat(effect.stream, effect.seq);
      case 'goodbye': {
        const leaving = this.#connections.get(effect.stream)?.connection;
        leaving?.send({ $case: 'goodbye', value: { reason: effect.reason } });
        return leaving?.end();
      }
      case 'abort':
        return this.#connections.get(effect.stream)?.connection.abort();
      case 'judge_server':
        return this.#judge(effect.stream, effect.welcome);
      case 'apply':
        return this.#inBackground(() => this.#apply(effect.logId, effect.command));
      case 'reconcile':
        return this.#inBackground(() => this.#reconcile(effect));
      case 'attest':
        return this.#inBackground(() => this.#attest(effect.challenge));
      case 'stop_all':
        return this.#inBackground(() => jobs.stopAll(undefined, effect.reasons));
      case 'limit_grace':
        return jobs.limitGrace(effect.ms);
      case 'follow':
        return this.#follow(effect.stream, effect.bundle);
      case 'enrol':
        return this.#inBackground(() => this.#parts.enrol());
      case 'fail':
        return this.#fail(effect.error);
      case 'log':
        return logger[effect.level](effect.event, effect.fields);
      default:
        return effect satisfies never;
    }
  }

  #open(stream: StreamId): void {
    const nonce = randomBytes(nonceBytes);
    const onClosed = (error: MusterError): void => {
      this.#connections.delete(stream);
      if (this.#connections.size === 0) this.#closed();
      this.#dispatch({ type: 'closed', stream, error });
    };
    try {
      const connection = this.#parts.connect({
        onMessage: (message) => this.#dispatch({ type: 'received', stream, message }),
        onClosed,
      });
      this.#connections.set(stream, { connection, nonce });
      connection.send({ $case: 'hello', value: this.#hello(nonce) });
    } catch (error) {
      onClosed(error instanceof MusterError ? error : refusal('INTERNAL', {}, error));
    }
  }

  #hello(nonce: Buffer): Hello {
    const { epoch, log } = this.#state;
    return {
      protocolMin: protocolVersions.min,
      protocolMax: protocolVersions.max,
      bootId: this.#bootId,
      lastEpoch: epoch,
      logId: log.logId,
      appliedSeq: log.cursor,
      runningJobs: this.#parts.jobs.running(),
      namespaces: this.#parts.namespaces,
      nonce,
      agentVersion: version,
      trustBundleDigest: this.#parts.trust.trustDigest,
      lastCommandId: log.latest.id,
    };
  }

  #heartbeat(stream: StreamId, seq: bigint): void {
    const value = {
      seq,
      ackedThrough: this.#state.log.cursor,
      jobsDigest: jobsDigest(this.#parts.jobs.running()),
    };
    this.#connections.get(stream)?.connection.send({ $case: 'heartbeat', value });
  }

  #judge(stream: StreamId, welcome: Welcome): void {
    const open = this.#connections.get(stream);
    const peer = open?.connection.server();
    if (open === undefined || peer === undefined) return;
    const standing = this.#parts
      .judgeServer(peer, welcome, open.nonce)
      .catch((error: unknown) =>
        error instanceof MusterError ? error.reasons : [reason('SERVER_UNPROVEN')],
      );
    this.#server = { stream, peer, jwks: welcome.jwks, standing, client: open.connection.client };
    this.#inBackground(async () => {
      this.#dispatch({ type: 'server_judged', stream, reasons: await standing });
    });
  }

  /** A bundle that is refused is not acknowledged, and the server's status shows it. */
  #follow(stream: StreamId, bundle: TrustBundle): void {
    const { trust, logger } = this.#parts;
    try {
      trust.follow(bundle);
    } catch (error) {
      return logger.error('trust.refused', errorFields(error));
    }
    logger.info('trust.followed', { trusted: bundle.certificates.length, issuer: bundle.issuerHash });
    const value = { digest: trust.trustDigest };
    this.#connections.get(stream)?.connection.send({ $case: 'trustBundleAck', value });
  }

  async #apply(logId: string, command: Command): Promise<void> {
    const { seq, action, id } = command;
    const result = await this.#parts.apply(command, this).catch((error: unknown): CommandResult => {
      this.#parts.logger.warn('command.rejected', { seq: String(seq), id, ...errorFields(error) });
      const reasons = error instanceof MusterError ? error.reasons : [reason('INTERNAL')];
      return { outcome: 'FAILED', reasons };
    });
    this.#dispatch({ type: 'command_finished', logId, seq, result });
    if (action?.$case === 'shutdown' && result.outcome === 'APPLIED') this.#parts.onShutdown();
  }

  async #reconcile({ logId, desired, adopt }: Extract<SessionEffect, { type: 'reconcile' }>): Promise<void> {
    const holds = await this.#parts.reconcile(desired, this);
    if (holds && adopt) this.#dispatch({ type: 'reconciled', logId, throughSeq: desired.throughSeq });
  }

  async #attest(challenge: Challenge): Promise<void> {
    this.#dispatch({ type: 'attested', attestation: await this.#parts.attest(challenge) });
  }

  /** Work that events do not wait for; an error in it is one of the program. */
  #inBackground(work: () => Promise<unknown>): void {
    work().catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    this.#parts.onFailure(error instanceof MusterError ? error : refusal('INTERNAL', {}, error));
  }
}

function jobReport({ jobId, generation, state, exitCode, reasons }: JobReport) {
  return {
    jobId,
    generation,
    state: SiteJobState[state],
    exitCode,
    reasons: reasons.map(toReasonMessage),
  };
}

/** SHA-256 over the sorted lines `job_id generation\n`, as Heartbeat.jobs_digest has it. */
export function jobsDigest(running: readonly RunningJob[]): Buffer {
  const lines = running.map(({ jobId, generation }) => `${jobId} ${generation}\n`).toSorted();
  return createHash('sha256').update(lines.join('')).digest();
}
