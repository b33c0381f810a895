import { isLive, isTerminal, siteOf } from '@muster/server/admission/job-state.js';
import fc from 'fast-check';
import { seeded } from '../support/seeded.js';
import { AgentModel, type Process } from './agent-model.js';
import { ServerModel } from './server-model.js';
import { allGuards, modelTimes, siteName, type Guards, type Stream } from './stream.js';

/** One thing that happens. `which` chooses among the streams. */
export type Happening =
  /** Time passes while the streams carry what they are said to. */
  | { readonly type: 'period'; readonly ms: number; readonly up: boolean; readonly down: boolean }
  | { readonly type: 'up' | 'down' | 'both'; readonly which: number }
  | { readonly type: 'agentLosesStream' | 'serverLosesStream'; readonly which: number }
  | { readonly type: 'stepServerClock' | 'stepAgentClock'; readonly ms: number }
  | {
      readonly type:
        | 'backUp'
        | 'restore'
        | 'work'
        | 'admit'
        | 'stop'
        | 'start'
        | 'exit'
        | 'crashServer'
        | 'crashAgent'
        | 'loseProof'
        | 'prove';
    };

const hourMs = 3_600_000;
const which = fc.nat({ max: 3 });
const period = fc.record({
  type: fc.constant('period' as const),
  ms: fc.integer({ min: 50, max: 4_000 }),
  up: fc.boolean(),
  down: fc.boolean(),
});

/** Any history. What leads a job onwards comes more often than what disturbs it. */
export const anyHistory: fc.Arbitrary<readonly Happening[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant('both' as const), which: fc.constant(0) }) },
    { weight: 12, arbitrary: period },
    { weight: 8, arbitrary: fc.record({ type: fc.constantFrom('up' as const, 'down' as const), which }) },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constantFrom('agentLosesStream' as const, 'serverLosesStream' as const),
        which,
      }),
    },
    { weight: 4, arbitrary: fc.constant<Happening>({ type: 'admit' }) },
    { weight: 8, arbitrary: fc.constantFrom<Happening>({ type: 'start' }, { type: 'work' }) },
    { weight: 2, arbitrary: fc.constant<Happening>({ type: 'stop' }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Happening>({ type: 'exit' }, { type: 'loseProof' }, { type: 'prove' }),
    },
    { weight: 1, arbitrary: fc.constantFrom<Happening>({ type: 'crashServer' }, { type: 'crashAgent' }) },
    { weight: 1, arbitrary: fc.constantFrom<Happening>({ type: 'backUp' }, { type: 'restore' }) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constantFrom('stepServerClock' as const, 'stepAgentClock' as const),
        ms: fc.constantFrom(-2 * hourMs, -hourMs, -5_000, 5_000, hourMs, 2 * hourMs),
      }),
    },
  ),
  { maxLength: 120 },
);

/** How long the end of a history may take to come to rest, ms. */
const restMs = 40_000;
/** How often a stream carries what waits, ms. */
const carriedEveryMs = 100;
const boundMs = modelTimes.leaseTtlMs + modelTimes.graceMs;

/** A server, an agent that dies and comes back, and the streams between them. */
class World {
  readonly #guards: Guards;
  readonly #server: ServerModel;
  readonly #processes: Process[] = [];
  readonly #streams: Stream[] = [];
  readonly #starts = new Map<string, Set<string>>();
  readonly #random = seeded(1);
  readonly violations = new Set<string>();
  #agent: AgentModel;
  #boots = 1;
  #now = 0;

  constructor(guards: Guards) {
    this.#guards = guards;
    this.#server = new ServerModel(guards);
    this.#agent = this.#boot(0);
    this.#settle();
  }

  happen(happening: Happening): void {
    switch (happening.type) {
      case 'period':
        this.#period(happening);
        break;
      case 'up':
      case 'down':
        while (this.#move(happening.type, this.#pick(happening.which)));
        break;
      case 'both':
        for (const stream of this.#streams.slice()) this.#drain(stream);
        break;
      case 'agentLosesStream': {
        const stream = this.#pick(happening.which);
        if (stream !== undefined) this.#agent.closed(stream);
        break;
      }
      case 'serverLosesStream': {
        const stream = this.#pick(happening.which);
        if (stream?.serverOpen === true && this.#server.up) this.#server.disconnected(stream);
        break;
      }
      case 'crashServer':
        if (this.#server.up) this.#server.crash(this.#streams);
        else this.#server.restart();
        break;
      case 'crashAgent':
        this.#restartAgent();
        break;
      case 'restore':
        this.#server.restore(this.#streams);
        // What the older database permits is permitted anew.
        this.#starts.clear();
        break;
      case 'stepServerClock':
        this.#server.wallOffset += happening.ms;
        break;
      case 'stepAgentClock':
        this.#agent.wallOffset += happening.ms;
        break;
      case 'work':
        for (const step of ['admit', 'both', 'both', 'start'] as const) this.happen({ type: step, which: 0 });
        break;
      case 'admit':
      case 'stop':
      case 'loseProof':
      case 'prove':
      case 'backUp':
        this.#server[happening.type]();
        break;
      case 'start':
      case 'exit':
        this.#agent[happening.type]();
        break;
      default:
        happening satisfies never;
    }
    this.#settle();
  }

  /** Everything is healed and given time; then nothing may be left over. */
  rest(): void {
    if (!this.#server.up) this.#server.restart();
    this.#server.prove();
    this.#server.stop();
    for (let passed = 0; passed < restMs; passed += 250) {
      this.happen({ type: 'both', which: 0 });
      this.#pass(250);
    }
    for (const { command, outcome } of this.#server.commands) {
      if (outcome === undefined) this.violations.add(`${command.action?.$case} was lost`);
    }
    for (const job of this.#server.jobs.values()) {
      if (!isTerminal(job) && job.phase !== 'submitted') this.violations.add(`a stop ended as ${job.phase}`);
    }
  }

  #period({ ms, up, down }: Extract<Happening, { type: 'period' }>): void {
    const directions = [...(up ? (['up'] as const) : []), ...(down ? (['down'] as const) : [])];
    for (let passed = 0; passed < ms; passed += carriedEveryMs) {
      for (const stream of this.#streams.slice()) {
        this.#carry(stream, directions);
      }
      this.#pass(Math.min(carriedEveryMs, ms - passed));
    }
  }

  #pass(ms: number): void {
    const end = this.#now + ms;
    while (this.#now < end) {
      this.#now = Math.max(this.#now + 1, Math.min(end, this.#agent.nextAt, this.#now + 50));
      this.#settle();
    }
  }

  #settle(): void {
    [this.#server.now, this.#agent.now] = [this.#now, this.#now];
    this.#agent.tick();
    this.#server.tick();
    for (const stream of this.#agent.streams.values()) {
      if (!this.#streams.includes(stream)) this.#streams.push(stream);
      if (!this.#server.up && stream.serverOpen) {
        stream.serverOpen = false;
        stream.down.push('ended');
      }
    }
    this.#look();
  }

  #look(): void {
    for (const { jobId, generation, runId } of this.#processes) {
      const late = this.#now > this.#server.lastGrant + boundMs;
      if (late) this.violations.add('a process runs after the bound from the loss of its proof');
      const job = this.#server.jobs.get(jobId);
      const counted =
        job !== undefined && isLive(siteOf(job, siteName)) && BigInt(job.generation) === generation;
      // A restored server does not know what it permitted since; that ends with the lease that it held then.
      const forgotten = this.#now <= this.#server.lastForgottenGrant + boundMs;
      if (!counted && !forgotten) this.violations.add('a process runs that the server counts as ended');
      const starts = this.#starts.get(`${jobId}/${generation}`) ?? new Set();
      this.#starts.set(`${jobId}/${generation}`, starts.add(runId));
      if (starts.size > 1) this.violations.add('a generation was started twice');
    }
    if (this.#server.staleWrites > 0) this.violations.add('an older session wrote');
    if ([...this.#agent.begun.values()].some((times) => times > 1))
      this.violations.add('a command was applied twice');
  }

  #boot(wallOffset: number): AgentModel {
    return new AgentModel({
      boot: `boot-${this.#boots}`,
      now: this.#now,
      wallOffset,
      processes: this.#processes,
      random: this.#random,
      guards: this.#guards,
    });
  }

  /** The supervisors end what the agent leaves; a new agent begins only when that is done. */
  #restartAgent(): void {
    for (const stream of this.#agent.streams.values()) stream.agentOpen = false;
    this.#processes.length = 0;
    this.#boots += 1;
    this.#agent = this.#boot(this.#agent.wallOffset);
  }

  #carry(stream: Stream, directions: readonly ('up' | 'down')[]): void {
    while (directions.some((direction) => this.#move(direction, stream)));
  }

  #drain(stream: Stream): void {
    this.#carry(stream, ['up', 'down']);
    if (!stream.agentOpen && stream.serverOpen && this.#server.up) this.#server.disconnected(stream);
  }

  /** Delivers one message; also what an agent sent before it lost the stream still arrives. */
  #move(direction: 'up' | 'down', stream: Stream | undefined): boolean {
    if (stream === undefined) return false;
    if (direction === 'up') {
      const message = this.#server.up && stream.serverOpen ? stream.up.shift() : undefined;
      if (message !== undefined) this.#server.receive(stream, message);
      return message !== undefined;
    }
    const message = stream.agentOpen ? stream.down.shift() : undefined;
    if (message !== undefined) this.#agent.receive(stream, message);
    return message !== undefined;
  }

  #pick(index: number): Stream | undefined {
    return this.#streams.at(-1 - index);
  }
}

/** What a history breaks; empty when every invariant holds. */
export function violationsOf(history: readonly Happening[], guards: Guards = allGuards): readonly string[] {
  const world = new World(guards);
  for (const happening of history) world.happen(happening);
  world.rest();
  return [...world.violations];
}
