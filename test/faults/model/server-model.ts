import { decide } from '@muster/server/admission/decide.js';
import type { JobEffect, JobEvent } from '@muster/server/admission/job-event.js';
import {
  isPermitted,
  isTerminal,
  newJob,
  siteOf,
  type JobState,
} from '@muster/server/admission/job-state.js';
import { jobOf } from '@muster/server/commands/action.js';
import {
  decideDelivery,
  openDelivery,
  type Delivery,
  type DeliveryEvent,
} from '@muster/server/commands/decide.js';
import type { CommandAction } from '@muster/server/ports.js';
import type { Downstream } from '@muster/server/sessions/connections.js';
import { jobStateNames, outcomeNames, type Upstream } from '@muster/server/sessions/frames.js';
import { decideResumption, type Remembered, type Resumption } from '@muster/server/sessions/resume.js';
import { decideSession, type SessionEffect } from '@muster/server/sessions/session-state.js';
import type { Command, Hello } from '@muster/shared/gen/muster/v1/agent.js';
import { reason } from '@muster/shared/reasons.js';
import { commandWindow, copyOf, queued, welcome, type Database, type StoredCommand } from './stored.js';
import { modelTimes, siteName, type Guards, type Stream } from './stream.js';

const { leaseTtlMs, graceMs, marginMs, checkMs, reportMs, resendMs, permitMs } = modelTimes;
const limits = { window: commandWindow, resendMs };
const stopReasons = [reason('JOB_STOPPED_BY_OPERATOR')];
const runOf = { RUNNING: 'running', COMPLETED: 'completed', FAILED: 'failed', STOPPED: 'stopped' } as const;

/** The server: its pure parts around a store that survives a crash and a memory that does not. */
export class ServerModel {
  readonly #guards: Guards;
  #store: Database = { jobs: new Map(), commands: [], epoch: 0, bootId: null, logId: 'log-0' };
  #backup: Database | undefined;
  // How many were ever made: ids are random, and no restored database gives one again.
  #commandIds = 0;
  #logs = 0;
  // Memory.
  #stream: Stream | undefined;
  #delivery: Delivery | undefined;
  #dueAt: number | undefined;
  #leaseEndsAt = 0;
  #watched = false;
  readonly #deadlines = new Map<string, { readonly at: number; readonly event: JobEvent }>();
  // What the world looks at.
  up = true;
  now = 0;
  /** How far the wall clock of the server is from the time that passes, ms. */
  wallOffset = 0;
  lastGrant = -Infinity;
  /** The last grant of a server whose database was replaced by an older one. */
  lastForgottenGrant = -Infinity;
  /** Writes of a session that was not the newest. */
  staleWrites = 0;
  #provenUntil: number = modelTimes.tokenMs;

  constructor(guards: Guards) {
    this.#guards = guards;
  }

  get jobs(): Map<string, JobState> {
    return this.#store.jobs;
  }

  get commands(): StoredCommand[] {
    return this.#store.commands;
  }

  /** Whether the site's tokens are unexpired by the server's wall clock. */
  get proven(): boolean {
    return this.#wall < this.#provenUntil;
  }

  prove(): void {
    this.#provenUntil = this.#wall + modelTimes.tokenMs;
  }

  /** The job that is not over; a new one when all are. */
  get job(): JobState {
    const open = [...this.jobs.values()].find((job) => !isTerminal(job));
    if (open !== undefined) return open;
    const id = `job-${this.jobs.size + 1}`;
    const job = newJob({
      id,
      spec: { participants: [siteName], byoc: false, name: '' },
      submitter: 'x',
      clonedFrom: '',
    });
    this.jobs.set(id, job);
    return job;
  }

  admit(): void {
    if (this.up && this.proven) this.apply(this.job.id, { type: 'admission_requested', reasons: [] });
  }

  stop(): void {
    if (this.up) this.apply(this.job.id, { type: 'stop_requested', reasons: stopReasons });
  }

  loseProof(): void {
    this.#provenUntil = -Infinity;
    const reasons = [reason('ATTESTATION_EXPIRED')];
    if (this.up) this.apply(this.job.id, { type: 'permission_lost', reasons });
  }

  /** Copies the database. */
  backUp(): void {
    this.#backup = copyOf(this.#store);
  }

  /** Puts the copy in the place of the database, and starts again. */
  restore(streams: readonly Stream[]): void {
    if (this.#backup === undefined) return;
    if (this.up) this.crash(streams);
    this.#store = copyOf(this.#backup);
    this.lastForgottenGrant = this.lastGrant;
    this.restart();
  }

  /** Memory is lost; the streams end. */
  crash(streams: readonly Stream[]): void {
    this.up = false;
    [this.#stream, this.#delivery, this.#dueAt] = [undefined, undefined, undefined];
    this.#deadlines.clear();
    this.#watched = false;
    for (const stream of streams) this.#close(stream);
  }

  restart(): void {
    this.up = true;
    this.#grantUntil();
    for (const { id } of this.jobs.values()) this.apply(id, { type: 'recovered' });
    if (!this.proven) this.loseProof();
  }

  receive(stream: Stream, message: Upstream): void {
    this.#session(stream, decideSession(stream.session, { type: 'received', message }));
  }

  disconnected(stream: Stream): void {
    this.#session(stream, decideSession(stream.session, { type: 'disconnected' }));
  }

  tick(): void {
    if (!this.up) return;
    if (!this.proven && this.#provenUntil > -Infinity) this.loseProof();
    if (this.#dueAt !== undefined && this.#clock >= this.#dueAt) this.#deliver({ type: 'due' });
    for (const [jobId, { at, event }] of this.#deadlines) {
      if (this.#clock < at) continue;
      this.#deadlines.delete(jobId);
      this.apply(jobId, event);
    }
    if (!this.#watched || this.#clock < this.#leaseEndsAt) return;
    this.#watched = false;
    for (const { id } of this.jobs.values()) this.apply(id, { type: 'lease_ended', participant: siteName });
  }

  apply(jobId: string, event: JobEvent): void {
    const before = this.jobs.get(jobId);
    if (before === undefined) return;
    const { state, effects } = decide(before, event);
    this.jobs.set(jobId, state);
    for (const effect of effects) this.#carryOut(jobId, effect);
  }

  #carryOut(jobId: string, effect: JobEffect): void {
    const generation = 'generation' in effect ? BigInt(effect.generation) : 0n;
    switch (effect.type) {
      case 'check_job': {
        const event: JobEvent = { type: 'check_deadline', generation: effect.generation };
        this.#deadlines.set(jobId, { at: this.#clock + checkMs, event });
        const value = { jobId, generation, participants: [], deadline: undefined, dryRun: false };
        return this.#enqueue({ $case: 'checkJob', value });
      }
      case 'sign_permit':
        return this.apply(
          jobId,
          this.proven
            ? { type: 'cleared', generation: effect.generation, permit: String(this.#wall + permitMs) }
            : { type: 'denied', generation: effect.generation, reasons: stopReasons },
        );
      case 'permit_job':
        this.#grantUntil();
        return this.#enqueue({
          $case: 'permitJob',
          value: { permit: { jobId, generation, permit: this.jobs.get(jobId)?.permit ?? '' } },
        });
      case 'stop_job':
        this.#supersede(jobId, generation);
        return this.#enqueue({
          $case: 'stopJob',
          value: { jobId, generation, grace: undefined, reasons: [] },
        });
      case 'watch_lease':
        this.#watched = true;
        return;
      case 'expect_report': {
        const { participant } = effect;
        const event: JobEvent = { type: 'report_overdue', participant, generation: effect.generation };
        this.#deadlines.set(jobId, { at: this.#clock + reportMs, event });
        return;
      }
      case 'disarm_check_deadline':
        this.#deadlines.delete(jobId);
        return;
      default:
    }
  }

  #session(stream: Stream, { state, effects }: ReturnType<typeof decideSession>): void {
    stream.session = state;
    for (const effect of effects) this.#perform(stream, effect);
  }

  #perform(stream: Stream, effect: SessionEffect): void {
    if (effect.type === 'end') return this.#close(stream);
    if (effect.type === 'open') return this.#open(stream, effect.hello);
    if (stream.epoch !== this.#store.epoch) this.staleWrites += 1;
    switch (effect.type) {
      case 'beat':
        if (this.proven) this.#granted();
        stream.down.push({ $case: 'heartbeatAck', value: { seq: effect.seq, leaseRenewed: this.proven } });
        this.#deliver({ type: 'due' });
        return;
      case 'acknowledge': {
        const outcome = outcomeNames.get(effect.ack.outcome);
        if (outcome !== undefined) this.#acknowledged(Number(effect.ack.seq), outcome);
        return;
      }
      case 'check': {
        const { jobId, generation, accepted } = effect.check;
        const checked = { generation: Number(generation), accepted, reasons: [] };
        return this.apply(jobId, { type: 'site_checked', participant: siteName, ...checked });
      }
      case 'report': {
        const { jobId, generation, state, exitCode } = effect.report;
        const run = runOf[jobStateNames.get(state) ?? 'FAILED'];
        const said = { generation: Number(generation), run, exitCode, reasons: [] };
        return this.apply(jobId, { type: 'site_reported', participant: siteName, ...said });
      }
      default:
    }
  }

  #open(stream: Stream, hello: Hello): void {
    const lastSeq = this.commands.length;
    const { lastCommandId } = hello;
    const knowsLatest =
      !this.#guards.latest ||
      lastCommandId === '' ||
      this.commands.some(({ command }) => command.id === lastCommandId);
    const { epoch, mode, renameLog } = this.#resumption(hello, {
      epoch: this.#store.epoch,
      bootId: this.#store.bootId,
      lastSeq,
      knowsLatest,
    });
    if (renameLog) this.#store.logId = `log-${(this.#logs += 1)}`;
    [this.#store.epoch, this.#store.bootId, stream.epoch] = [epoch, hello.bootId, epoch];
    const previous = this.#stream;
    this.#stream = stream;
    if (this.#guards.fencing && previous !== undefined) {
      this.#session(previous, decideSession(previous.session, { type: 'closed' }));
    }
    stream.session = decideSession(stream.session, { type: 'welcomed' }).state;
    stream.down.push(welcome(epoch, mode, this.#store.logId));
    if (mode === 'SNAPSHOT') stream.down.push(this.#desiredState());
    const unfinished = this.commands.filter(({ outcome }) => outcome === undefined);
    this.#delivery = openDelivery(
      this.#guards.replay ? unfinished.map(({ command }) => queued(command)) : [],
    );
    for (const { jobId, generation } of hello.runningJobs) {
      this.apply(jobId, { type: 'site_resumed', participant: siteName, generation: Number(generation) });
    }
    for (const { id } of this.jobs.values()) {
      const listed = hello.runningJobs.some(({ jobId }) => jobId === id);
      if (!listed) this.apply(id, { type: 'site_resumed', participant: siteName, generation: undefined });
    }
    this.#deliver({ type: 'due' });
  }

  #resumption(hello: Hello, remembered: Remembered): Resumption {
    const decided = decideResumption(hello, remembered, this.#store.logId);
    if (this.#guards.rename || !decided.renameLog) return decided;
    const mode = hello.bootId === remembered.bootId ? 'REPLAY' : 'SNAPSHOT';
    return { ...decided, mode, renameLog: false };
  }

  #desiredState(): Downstream {
    const jobs = [...this.jobs.values()].filter((job) => {
      const { run } = siteOf(job, siteName);
      return isPermitted(job) && (run === 'permitted' || run === 'running');
    });
    const first = this.commands.findIndex(({ outcome }) => outcome === undefined);
    const throughSeq = BigInt(first === -1 ? this.commands.length : first);
    const permits = jobs.map(({ id, generation, permit }) => ({
      jobId: id,
      generation: BigInt(generation),
      permit,
    }));
    return { $case: 'desiredState', value: { jobs: permits, throughSeq } };
  }

  #acknowledged(seq: number, outcome: 'RECEIVED' | 'APPLIED' | 'FAILED' | 'REJECTED'): void {
    const stored = this.commands[seq - 1];
    const action = stored?.command.action;
    if (stored === undefined || action === undefined) return;
    const told = this.#deliver({ type: 'acknowledged', seq, outcome });
    if (!told) return;
    const job = jobOf(action);
    const refused = outcome === 'FAILED' || outcome === 'REJECTED';
    if (job !== undefined && action.$case === 'stopJob' && outcome === 'APPLIED') {
      this.apply(job.jobId, { type: 'stop_applied', participant: siteName, generation: job.generation });
    }
    if (job !== undefined && action.$case === 'permitJob' && refused) {
      const event = { participant: siteName, generation: job.generation, reasons: stopReasons };
      this.apply(job.jobId, { type: 'permit_refused', ...event });
    }
    if (outcome !== 'RECEIVED') this.#finish(stored, outcome);
  }

  #finish(stored: StoredCommand, outcome: string): void {
    stored.outcome ??= outcome;
    this.#deliver({ type: 'finished', seq: Number(stored.command.seq) });
  }

  #enqueue(action: CommandAction): void {
    const seq = this.commands.length + 1;
    const id = `command-${(this.#commandIds += 1)}`;
    const command: Command = { seq: BigInt(seq), id, action };
    this.commands.push({ command });
    this.#deliver({ type: 'enqueued', command: queued(command) });
    this.#deliver({ type: 'due' });
  }

  #supersede(jobId: string, generation: bigint): void {
    for (const stored of this.commands) {
      const { action } = stored.command;
      if (stored.outcome !== undefined || action?.$case !== 'permitJob') continue;
      const { permit } = action.value;
      if (permit?.jobId === jobId && permit.generation <= generation) this.#finish(stored, 'REJECTED');
    }
  }

  /** Whether something is to be told. */
  #deliver(event: DeliveryEvent): boolean {
    if (this.#delivery === undefined) return false;
    const { state, effects, dueAt } = decideDelivery(this.#delivery, event, this.#clock, limits);
    [this.#delivery, this.#dueAt] = [state, dueAt];
    for (const effect of effects) {
      const command = this.commands[effect.seq - 1]?.command;
      if (effect.type === 'send' && command !== undefined) {
        this.#stream?.down.push({ $case: 'command', value: command });
      }
    }
    return effects.some(({ type }) => type === 'tell');
  }

  #granted(): void {
    this.lastGrant = this.now;
    this.#grantUntil();
  }

  #grantUntil(): void {
    this.#leaseEndsAt = Math.max(this.#leaseEndsAt, this.#clock + this.#longestLeaseMs);
  }

  /** What the server takes for the monotonic clock. */
  get #clock(): number {
    return this.#guards.serverClock ? this.now : this.#wall;
  }

  get #wall(): number {
    return this.now + this.wallOffset;
  }

  get #longestLeaseMs(): number {
    return this.#guards.margin ? leaseTtlMs + graceMs + marginMs : leaseTtlMs / 2;
  }

  #close(stream: Stream): void {
    if (!stream.serverOpen) return;
    stream.serverOpen = false;
    stream.down.push('ended');
    if (this.#stream !== stream) return;
    [this.#stream, this.#delivery, this.#dueAt] = [undefined, undefined, undefined];
  }
}
