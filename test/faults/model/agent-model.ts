import {
  decide as decideJob,
  emptyRecord,
  type JobEvent,
  type JobRecord,
} from '@muster/agent/jobs/job-record.js';
import { emptyLog } from '@muster/agent/session/command-log.js';
import type { CommandResult } from '@muster/agent/session/command-log.js';
import { isHeld } from '@muster/agent/session/lease.js';
import { decide, initialState, nextTick } from '@muster/agent/session/session-state.js';
import type { SessionEffect, SessionEvent, SessionState } from '@muster/agent/session/session-types.js';
import type { Downstream } from '@muster/server/sessions/connections.js';
import { refusal } from '@muster/shared/errors.js';
import {
  Hello,
  SiteJobState,
  type Command,
  type DesiredState,
  type JobPermit,
} from '@muster/shared/gen/muster/v1/agent.js';
import { reason } from '@muster/shared/reasons.js';
import { modelTimes, Stream, type Guards } from './stream.js';

const { graceMs, leaseTtlMs } = modelTimes;
const greeting = Hello.fromPartial({ protocolMin: 1, protocolMax: 1 });
const applied: CommandResult = { outcome: 'APPLIED', reasons: [] };
const rejected: CommandResult = { outcome: 'REJECTED', reasons: [] };

/** A job's process at the site; it outlives the agent by the grace at most. */
export interface Process {
  readonly jobId: string;
  readonly generation: bigint;
  readonly runId: string;
  endsAt: number;
}

/** What an agent begins with. */
interface AgentParts {
  readonly boot: string;
  readonly now: number;
  readonly wallOffset: number;
  readonly processes: Process[];
  readonly random: () => number;
  readonly guards: Guards;
}

/** An agent: its pure parts, and a memory that ends with it. Its clock is its own. */
export class AgentModel {
  readonly #guards: Guards;
  readonly #boot: string;
  readonly #processes: Process[];
  readonly #random: () => number;
  readonly streams = new Map<number, Stream>();
  readonly #records = new Map<string, JobRecord>();
  readonly #agreed = new Set<string>();
  #state: SessionState;
  #waiting: { readonly runId: string; readonly done: () => void }[] = [];
  now: number;
  /** How far the wall clock of the site is from the time that passes, ms. */
  wallOffset: number;
  /** How often each command's effect began, by its log and id, in this life of the agent. */
  readonly begun = new Map<string, number>();

  constructor({ boot, now, wallOffset, processes, random, guards }: AgentParts) {
    [this.#boot, this.now, this.wallOffset] = [boot, now, wallOffset];
    [this.#processes, this.#random, this.#guards] = [processes, random, guards];
    this.#state = initialState(this.#clock);
  }

  /** When something is due by itself. */
  get nextAt(): number {
    const ends = this.#processes.map(({ endsAt }) => endsAt);
    const ticksAt = (nextTick(this.#state) ?? Infinity) - (this.#clock - this.now);
    return Math.min(ticksAt, ...ends);
  }

  tick(): void {
    const over = this.#processes.filter(({ endsAt }) => endsAt <= this.now);
    for (const process of over) this.#gone(process);
    if ((nextTick(this.#state) ?? Infinity) <= this.#clock) this.#dispatch({ type: 'tick' });
  }

  receive(stream: Stream, message: Downstream | 'ended'): void {
    if (message === 'ended') return this.closed(stream);
    if (!this.#guards.memory)
      this.#state = { ...this.#state, log: { ...emptyLog, logId: this.#state.log.logId } };
    this.#dispatch({ type: 'received', stream: stream.id, message });
    if (message.$case === 'heartbeatAck' && message.value.leaseRenewed && !this.#guards.sendTime) {
      this.#state = { ...this.#state, lease: { endsAt: this.#clock + leaseTtlMs } };
    }
  }

  closed(stream: Stream): void {
    if (!stream.agentOpen) return;
    stream.agentOpen = false;
    this.#dispatch({ type: 'closed', stream: stream.id, error: refusal('SERVER_UNREACHABLE') });
  }

  /** Somebody at the site starts the command of every job that is permitted. */
  start(): void {
    for (const { jobId } of this.#records.values()) {
      this.#job(jobId, {
        type: 'asked',
        runId: `${this.#boot}-${this.now}-${jobId}`,
        now: new Date(this.now + this.wallOffset),
      });
    }
  }

  /** The commands end by themselves. */
  exit(): void {
    for (const { jobId, runId } of this.#processes.slice()) {
      this.#job(jobId, { type: 'exited', runId, exitCode: 0, reasons: [] });
    }
  }

  /** What the agent takes for the monotonic clock. */
  get #clock(): number {
    return this.#guards.agentClock ? this.now : this.now + this.wallOffset;
  }

  #dispatch(event: SessionEvent): void {
    const { state, effects } = decide(this.#state, event, { now: this.#clock, random: this.#random() });
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: SessionEffect): void {
    switch (effect.type) {
      case 'open': {
        const stream = new Stream(effect.stream);
        this.streams.set(stream.id, stream);
        const { epoch, log } = this.#state;
        const runningJobs = this.#running();
        const { logId, cursor: appliedSeq, latest } = log;
        const known = { lastEpoch: epoch, logId, appliedSeq, lastCommandId: latest.id, runningJobs };
        const value = { ...greeting, bootId: this.#boot, ...known };
        stream.up.push({ $case: 'hello', value });
        return;
      }
      case 'send':
        return void this.#open(effect.stream)?.up.push(effect.message);
      case 'heartbeat': {
        const value = { seq: effect.seq, ackedThrough: 0n, jobsDigest: Buffer.alloc(0) };
        return void this.#open(effect.stream)?.up.push({ $case: 'heartbeat', value });
      }
      case 'goodbye':
        return void this.#open(effect.stream)?.up.push({
          $case: 'goodbye',
          value: { reason: effect.reason },
        });
      case 'apply':
        this.#begin(`${effect.logId}/${effect.command.id}`);
        return this.#apply(effect.logId, effect.command);
      case 'reconcile':
        return this.#reconcile(effect.logId, effect.desired, effect.adopt);
      case 'stop_all':
        if (!this.#guards.lease) return;
        for (const { jobId, floor, permit } of this.#records.values()) {
          this.#stop(jobId, permit?.generation ?? floor, () => undefined);
        }
        return;
      case 'abort':
      default:
    }
  }

  #begin(command: string): void {
    this.begun.set(command, (this.begun.get(command) ?? 0) + 1);
  }

  #apply(logId: string, { seq, action }: Command): void {
    const finish = (result: CommandResult): void =>
      this.#dispatch({ type: 'command_finished', logId, seq, result });
    switch (action?.$case) {
      case 'checkJob': {
        const { jobId, generation } = action.value;
        this.#agreed.add(`${jobId}/${generation}`);
        const value = { jobId, generation, accepted: true, reasons: [] };
        this.#dispatch({ type: 'report', message: { $case: 'jobCheck', value } });
        return finish(applied);
      }
      case 'permitJob': {
        const { permit } = action.value;
        return finish(permit !== undefined && this.#permit(permit) ? applied : rejected);
      }
      case 'stopJob': {
        const { jobId, generation } = action.value;
        this.#agreed.delete(`${jobId}/${generation}`);
        return this.#stop(jobId, generation, () => finish(applied));
      }
      default:
    }
  }

  #permit({ jobId, generation, permit }: JobPermit): boolean {
    if (!this.#agreed.has(`${jobId}/${generation}`) || !isHeld(this.#state.lease, this.#clock)) return false;
    const expiresAt = new Date(Number(permit));
    this.#job(jobId, { type: 'permitted', permit: { jobId, generation, permit, expiresAt } });
    return true;
  }

  #reconcile(logId: string, { jobs, throughSeq }: DesiredState, adopt: boolean): void {
    const wanted = new Map(jobs.map(({ jobId, generation }) => [jobId, generation]));
    let open = 1;
    const done = (): void => {
      if ((open -= 1) === 0 && adopt) this.#dispatch({ type: 'reconciled', logId, throughSeq });
    };
    for (const { jobId, permit, run } of this.#records.values()) {
      const latest = [permit?.generation, run?.generation].find(
        (generation) => generation !== undefined && generation !== wanted.get(jobId),
      );
      if (latest === undefined) continue;
      open += 1;
      this.#stop(jobId, latest, done);
    }
    for (const permit of jobs) this.#permit(permit);
    done();
  }

  #stop(jobId: string, upTo: bigint, done: () => void): void {
    this.#job(jobId, { type: 'stop', upTo, graceMs, reasons: [reason('JOB_STOPPED_BY_OPERATOR')] });
    const run = this.#records.get(jobId)?.run;
    if (run === undefined || run.generation > upTo) return done();
    this.#waiting.push({ runId: run.runId, done });
  }

  #job(jobId: string, event: JobEvent): void {
    const before = this.#records.get(jobId) ?? emptyRecord(jobId);
    const { record, effects } = decideJob(before, event);
    this.#records.set(jobId, record);
    for (const effect of effects) {
      switch (effect.type) {
        case 'grant': {
          const { generation } = effect.permit;
          const runId = record.run?.runId ?? '';
          this.#processes.push({ jobId, generation, runId, endsAt: Infinity });
          this.#job(jobId, { type: 'started', runId, pid: 1 });
          break;
        }
        case 'end': {
          const process = this.#processes.find(({ runId }) => runId === effect.runId);
          if (process !== undefined) process.endsAt = Math.min(process.endsAt, this.now + graceMs);
          break;
        }
        case 'report': {
          const { generation, state, exitCode } = effect.report;
          const value = { jobId, generation, state: SiteJobState[state], exitCode, reasons: [] };
          this.#dispatch({ type: 'report', message: { $case: 'jobReport', value } });
          break;
        }
        default:
      }
    }
  }

  #gone(process: Process): void {
    this.#processes.splice(this.#processes.indexOf(process), 1);
    this.#job(process.jobId, { type: 'ended', runId: process.runId, complete: true });
    const over = this.#waiting.filter(({ runId }) => runId === process.runId);
    this.#waiting = this.#waiting.filter(({ runId }) => runId !== process.runId);
    for (const { done } of over) done();
  }

  #running(): { jobId: string; generation: bigint }[] {
    return [...this.#records.values()].flatMap(({ jobId, run }) =>
      run === undefined ? [] : [{ jobId, generation: run.generation }],
    );
  }

  #open(id: number): Stream | undefined {
    const stream = this.streams.get(id);
    return stream?.agentOpen === true ? stream : undefined;
  }
}
