import { CommandQueue } from '@muster/server/commands/command-queue.js';
import type { CommandResult, JobEvents, Speaker } from '@muster/server/ports.js';
import type { Conversation, Responses } from '@muster/server/middleware/message-stream.js';
import { Connections, type Downstream } from '@muster/server/sessions/connections.js';
import { SessionHub } from '@muster/server/sessions/hub.js';
import { TrustPush } from '@muster/server/sessions/trust-push.js';
import { MusterError } from '@muster/shared/errors.js';
import { Hello, SessionRequest, type SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import { createFederation, type Federation, type FederationOptions } from './federation.js';
import { silentLogger } from './logger.js';
import type { Presenter } from './tokens.js';
import { until } from './until.js';

/** The CAs that the sessions tell agents of; a test changes them. */
export interface FakeAuthority {
  active: { readonly number: number; readonly der: Uint8Array; readonly hash: string };
  bundle: readonly Uint8Array[];
  bundleDigest: string;
}

/** How often agents send heartbeats, ms. */
export const heartbeatMs = 10_000;
/** How long a lease lasts, ms. */
export const leaseTtlMs = 60_000;
/** What the server adds to a lease, ms. */
export const leaseMarginMs = 15_000;
/** The longest grace that sites may give, ms. */
export const graceLimitMs = 5_000;

/** What was said in a session, with who said it. */
type Said<E extends Exclude<keyof JobEvents, 'permitsOf'>> =
  Parameters<JobEvents[E]> extends [Speaker, ...infer Rest] ? [string, ...Rest] : never;

/** What the sessions told the jobs. */
export interface JobRecord {
  readonly checks: Said<'onJobCheck'>[];
  readonly reports: Said<'onJobReport'>[];
  readonly running: Said<'onRunningJobs'>[];
  permits: ReturnType<JobEvents['permitsOf']>;
}

/** A server's sessions with all that is below them. */
export interface SessionFederation extends Federation {
  readonly connections: Connections;
  readonly commands: CommandQueue;
  readonly hub: SessionHub;
  readonly jobs: JobRecord;
  readonly results: CommandResult[];
  readonly ca: FakeAuthority;
  readonly trust: TrustPush;
  /** Opens a stream for a site, without Hello. */
  stream(site: Presenter): AgentStream;
  /** Opens a stream and says Hello; resolves once the server has welcomed it. */
  open(site: Presenter, hello?: Partial<Hello>): Promise<AgentStream>;
}

/** Composes the sessions as the server does, and starts them. */
export async function createSessions(options: FederationOptions = {}): Promise<SessionFederation> {
  const connections = new Connections();
  const federation = await createFederation({ ...options, outbox: connections });
  const { store, clock, registry, self, sites, verification, signer, failures } = federation;
  const logger = silentLogger;
  const jobs: JobRecord = { checks: [], reports: [], running: [], permits: [] };
  const results: CommandResult[] = [];
  const ca: FakeAuthority = {
    active: { number: 1, der: new Uint8Array(), hash: 'sha256:00' },
    bundle: [],
    bundleDigest: '00'.repeat(32),
  };
  const trust = new TrustPush({ store, ca, outbox: connections, clock });
  const commands = new CommandQueue({ store, clock, logger, outbox: connections });
  commands.onResult(async (result) => void results.push(result));
  const hub = new SessionHub({
    store,
    registry,
    connections,
    commands,
    sites,
    verification,
    self,
    signer,
    trust,
    jobs: {
      onJobCheck: async ({ participant }, ...check) => void jobs.checks.push([participant, ...check]),
      onJobReport: async ({ participant }, ...report) => void jobs.reports.push([participant, ...report]),
      onRunningJobs: async ({ participant }, ...running) => void jobs.running.push([participant, ...running]),
      permitsOf: () => jobs.permits,
    },
    failures: { report: async (failure) => void failures.push(failure) },
    heartbeatIntervalMs: heartbeatMs,
    heartbeatLimit: { rate: 50, burst: 50 },
    leaseTtlMs,
    leaseMarginMs,
    graceLimitMs,
    random: () => 0.5,
    clock,
    logger,
  });
  await verification.start();
  await hub.start();
  const stream = (site: Presenter): AgentStream =>
    new AgentStream(hub, site, new Date(clock.now().getTime() + 3_600_000));
  return {
    ...federation,
    connections,
    commands,
    hub,
    jobs,
    results,
    ca,
    trust,
    stream,
    async open(site, hello = {}) {
      const opened = stream(site);
      opened.say({ $case: 'hello', value: greeting(hello) });
      await until(() => opened.first('welcome') !== undefined || opened.ended);
      return opened;
    },
  };
}

/** A Hello of the first process of an agent. */
export function greeting(changes: Partial<Hello> = {}): Hello {
  return Hello.fromPartial({
    protocolMin: 1,
    protocolMax: 1,
    bootId: 'boot-1',
    nonce: Buffer.alloc(32, 1),
    agentVersion: '0.1.0',
    ...(changes as object),
  });
}

/** The messages to an agent, by kind. */
type Values = { readonly [M in Downstream as M['$case']]: M['value'] };

/** The agent's end of a stream. */
export class AgentStream {
  readonly received: Downstream[] = [];
  error: MusterError | undefined;
  ended = false;
  readonly #frames: (Uint8Array | undefined)[] = [];
  readonly #conversation: Conversation<Uint8Array> | undefined;
  #reading = false;

  constructor(hub: SessionHub, { identity, publicKey }: Presenter, notAfter: Date) {
    const spiffeId = formatSpiffeId(identity);
    const caller = { ...identity, publicKey, notAfter, serial: '01', authority: 1, spiffeId };
    const responses: Responses<SessionResponse> = {
      send: ({ message }) => {
        if (message !== undefined) this.received.push(message);
        return true;
      },
      end: (error) => this.#end(error),
    };
    try {
      this.#conversation = hub.serve(responses, caller);
    } catch (error) {
      this.#end(error);
    }
  }

  /** Sends a message. */
  say(message: NonNullable<SessionRequest['message']>): void {
    this.sayBytes(SessionRequest.encode({ message }).finish());
  }

  /** Sends a heartbeat and returns its acknowledgement. */
  async beat(seq: number): Promise<Values['heartbeatAck']> {
    this.say({
      $case: 'heartbeat',
      value: { seq: BigInt(seq), ackedThrough: 0n, jobsDigest: Buffer.alloc(0) },
    });
    const acked = (): Downstream | undefined =>
      this.received.find((message) => message.$case === 'heartbeatAck' && message.value.seq === BigInt(seq));
    await until(() => acked() !== undefined);
    const message = acked();
    if (message?.$case !== 'heartbeatAck') throw new Error('no acknowledgement');
    return message.value;
  }

  /** Sends raw bytes. */
  sayBytes(bytes: Uint8Array): void {
    this.#frames.push(bytes);
    void this.#read();
  }

  /** Ends this half of the stream. */
  finish(): void {
    this.#frames.push(undefined);
    void this.#read();
  }

  /** Breaks the connection. */
  cut(): void {
    this.#conversation?.closed();
    this.ended = true;
  }

  /** The first message of a kind; undefined when there is none. */
  first<C extends keyof Values>(kind: C): Values[C] | undefined {
    return this.all(kind)[0];
  }

  /** All messages of a kind. */
  all<C extends keyof Values>(kind: C): Values[C][] {
    return this.received.filter(({ $case }) => $case === kind).map(({ value }) => value as Values[C]);
  }

  /** Waits for the end of the stream; returns the error that it ended with. */
  async end(): Promise<MusterError | undefined> {
    await until(() => this.ended);
    return this.error;
  }

  /** Hands one frame after the other over, as the endpoint does. */
  async #read(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    while (this.#frames.length > 0) {
      const frame = this.#frames.shift();
      if (frame === undefined) this.#conversation?.closed();
      else await this.#conversation?.received(frame);
    }
    this.#reading = false;
  }

  #end(error: unknown): void {
    if (error !== undefined && !(error instanceof MusterError)) throw error;
    this.error = error;
    this.ended = true;
  }
}
