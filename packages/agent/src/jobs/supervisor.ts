import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { systemClock, type Clock, type Timer } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { ActiveRun, type StartRequest } from './active-run.js';
import { createRunCgroup, leftRunCgroups } from './cgroup.js';
import {
  decide,
  emptyRecord,
  type JobEffect,
  type JobEvent,
  type JobRecord,
  type JobReport,
  type Permit,
} from './job-record.js';
import { endRun, isAlive } from './process-tree.js';

/** What became of a request to stop. */
export type StopOutcome =
  | { readonly stopped: true }
  /** Some process is left; it is tried again, also without being asked. */
  | { readonly stopped: false; readonly reasons: readonly Reason[] };

/** A job with processes at this site, or with the permission to start one in somebody's hands. */
export interface RunningJob {
  readonly jobId: string;
  readonly generation: bigint;
}

/** How a command ended. */
export interface CommandEnd {
  /** Exit status, or 128 + signal number. */
  readonly exitCode: number;
  /** Why it was not started, when it was not. */
  readonly reasons: readonly Reason[];
}

/** Permission to start one command, and the supervision that comes with it. */
export interface Grant {
  readonly permit: Permit;
  readonly runId: string;
  /** The cgroup directory to start the command in; undefined where there is none. */
  readonly cgroup: string | undefined;
  /** Between SIGTERM and SIGKILL if the command's supervisor has to end the command, ms. */
  readonly graceMs: number;
  /** The command's process was started. */
  started(pid: number): void;
  /** The command has ended, or was not started; its supervisor starts nothing more. */
  exited(end: CommandEnd): void;
  /** The command's supervisor is gone. */
  lost(): void;
  /** Resolves when no process of the run is left. */
  readonly over: Promise<void>;
}

/** What the supervisor of a site's jobs is made with. */
export interface JobSupervisorOptions {
  /** Tells the runs of this agent from those of other agents on the machine: 1 to 32 of `a-z 0-9`. */
  readonly instance: string;
  /** The cgroup v2 directory below which runs get their own; undefined for none. */
  readonly cgroupParent?: string | undefined;
  /** Between SIGTERM and SIGKILL of what a command leaves behind, or when nobody said otherwise, ms; default 5,000. */
  readonly graceMs?: number;
  readonly clock?: Clock;
  /** Ends the processes of a run; by default those of this machine. */
  readonly endRun?: typeof endRun;
}

/** How many jobs are remembered after their end, so that an old permit cannot start them again. */
const rememberedJobs = 10_000;
/** When ending a run that could not be ended is tried again, ms. */
const retryMs = 5_000;

type Answer = Extract<JobEffect, { type: 'grant' | 'refuse' }>;

/**
 * Supervises the commands of a site's jobs: nothing starts without a permit, and a stop counts only when no process is
 * left. The session brings permits and stops, the local API brings commands.
 */
export class JobSupervisor {
  readonly #records = new Map<string, JobRecord>();
  readonly #runs = new Map<string, ActiveRun>();
  readonly #events = new EventEmitter<{ report: [JobReport]; change: [string] }>().setMaxListeners(0);
  readonly #options: JobSupervisorOptions;
  readonly #clock: Clock;
  #graceLimitMs = Infinity;
  readonly #endRun: typeof endRun;

  constructor(options: JobSupervisorOptions) {
    this.#options = options;
    this.#endRun = options.endRun ?? endRun;
    this.#clock = options.clock ?? systemClock;
  }

  /** Bounds the site's own grace, ms: the server counts what the site ends by itself as ended after that. */
  limitGrace(ms: number): void {
    this.#graceLimitMs = ms;
  }

  /** Allows a job to be started, once. A newer generation ends an older one that runs; an older one changes nothing. */
  permit(permit: Permit): void {
    this.#dispatch(permit.jobId, { type: 'permitted', permit });
  }

  /**
   * A generation that the server counts on cannot be started here: it is reported as failed, unless this site holds its
   * permit or runs it after all.
   */
  forfeit(jobId: string, generation: bigint, reasons: readonly Reason[]): void {
    this.#dispatch(jobId, { type: 'forfeited', generation, reasons });
  }

  /**
   * Takes permission back for every generation up to one, and resolves when none of its processes is left. Without a
   * grace, ms, the site's own is taken.
   */
  async stop(
    jobId: string,
    upToGeneration: bigint,
    graceMs: number | undefined,
    reasons: readonly [Reason, ...Reason[]],
  ): Promise<StopOutcome> {
    const current = this.#records.get(jobId)?.run;
    this.#dispatch(jobId, { type: 'stop', upTo: upToGeneration, graceMs, reasons });
    if (current === undefined || current.generation > upToGeneration) return { stopped: true };
    await this.#runs.get(current.runId)?.ending;
    return this.#runs.has(current.runId)
      ? { stopped: false, reasons: [reason('JOB_STOP_INCOMPLETE')] }
      : { stopped: true };
  }

  /** Takes permission back for every job. Resolves when no process is left, or some could not be ended. */
  async stopAll(graceMs: number | undefined, reasons: readonly [Reason, ...Reason[]]): Promise<StopOutcome> {
    const outcomes = await Promise.all(
      this.jobs().map(({ jobId, floor, permit }) =>
        this.stop(jobId, permit?.generation ?? floor, graceMs, reasons),
      ),
    );
    return outcomes.find((outcome) => !outcome.stopped) ?? { stopped: true };
  }

  /** The jobs with processes at this site, or with a command about to start. */
  running(): RunningJob[] {
    return this.jobs().flatMap(({ jobId, run }) =>
      run === undefined ? [] : [{ jobId, generation: run.generation }],
    );
  }

  /** The jobs with a permit or with processes at this site. */
  jobs(): JobRecord[] {
    return [...this.#records.values()].filter(({ permit, run }) => permit !== undefined || run !== undefined);
  }

  /** Calls back with every change of a job's processes. Returns the function that ends it. */
  onReport(listener: (report: JobReport) => void): () => void {
    this.#events.on('report', listener);
    return () => this.#events.off('report', listener);
  }

  /**
   * Asks for permission to start a command, and waits for a permit as long as the request says.
   * Errors: JOB_NOT_ADMITTED with the reasons why permission was taken back, if it was; JOB_STATE when the job runs
   * already; JOB_SUPERVISION_LOST when the asking process cannot be seen.
   */
  async start(request: StartRequest): Promise<Grant> {
    if (!isAlive(request.supervisor)) throw refusal('JOB_SUPERVISION_LOST');
    const runId = `${this.#options.instance}-${randomUUID()}`;
    const deadline = this.#clock.monotonic() + request.waitMs;
    for (;;) {
      request.signal.throwIfAborted();
      const answer = this.#dispatch(request.jobId, { type: 'asked', runId, now: this.#clock.now() });
      if (answer?.type === 'grant') return this.#grant(runId, answer.permit, request);
      const left = deadline - this.#clock.monotonic();
      if (answer === undefined || answer.final || left <= 0) {
        throw new MusterError(answer?.reasons ?? [reason('JOB_NOT_ADMITTED')]);
      }
      await this.#changed(request.jobId, left, request.signal);
    }
  }

  /**
   * Ends what runs of an earlier agent of this instance left behind. The local API does so when it has made sure that
   * no other agent of this instance runs.
   * Errors: JOB_STOP_INCOMPLETE.
   */
  async endLeftovers(): Promise<void> {
    const prefix = `${this.#options.instance}-`;
    const cgroups = leftRunCgroups(this.#options.cgroupParent ?? '', prefix);
    const targets = [{ runId: prefix }, ...cgroups.map((cgroup) => ({ runId: prefix, cgroup }))];
    for (const target of targets) {
      if ((await this.#endRun(target, 0, this.#clock)).length > 0) throw refusal('JOB_STOP_INCOMPLETE');
    }
    for (const cgroup of cgroups) cgroup.remove();
  }

  get #graceMs(): number {
    return Math.min(this.#options.graceMs ?? 5_000, this.#graceLimitMs);
  }

  #grant(runId: string, permit: Permit, request: StartRequest): Grant {
    const { cgroupParent } = this.#options;
    const cgroup = cgroupParent === undefined ? undefined : createRunCgroup(cgroupParent, runId);
    const run = new ActiveRun({
      runId,
      request,
      cgroup,
      clock: this.#clock,
      endRun: this.#endRun,
    });
    this.#runs.set(runId, run);
    const { jobId } = request;
    const lost = (): void => {
      run.settle();
      this.#dispatch(jobId, { type: 'lost', runId, reasons: [reason('JOB_SUPERVISION_LOST')] });
    };
    return {
      permit,
      runId,
      cgroup: cgroup?.path,
      graceMs: this.#graceMs,
      over: run.over,
      started: (pid) => {
        const supervised = run.lead(pid);
        this.#dispatch(jobId, { type: 'started', runId, pid });
        if (!supervised) {
          this.#dispatch(jobId, { type: 'lost', runId, reasons: [reason('JOB_SUPERVISION_LOST')] });
        }
      },
      exited: ({ exitCode, reasons }) => {
        run.settle();
        this.#dispatch(jobId, { type: 'exited', runId, exitCode, reasons });
      },
      lost,
    };
  }

  /** Decides an event and carries the effects out; returns the answer if it was a question. */
  #dispatch(jobId: string, event: JobEvent): Answer | undefined {
    const before = this.#records.get(jobId) ?? emptyRecord(jobId);
    const { record, effects } = decide(before, event);
    if (record !== before) this.#remember(record);
    let answer: Answer | undefined;
    for (const effect of effects) {
      switch (effect.type) {
        case 'grant':
        case 'refuse':
          answer = effect;
          break;
        case 'report':
          this.#events.emit('report', effect.report);
          break;
        case 'end':
          this.#end(effect.runId, effect.graceMs ?? this.#graceMs, effect.reasons);
          break;
        default:
          effect satisfies never;
      }
    }
    if (record !== before) this.#events.emit('change', jobId);
    return answer;
  }

  #end(runId: string, graceMs: number, reasons: readonly Reason[]): void {
    const run = this.#runs.get(runId);
    if (run === undefined) return;
    const finish = (complete: boolean): void => {
      run.ending = undefined;
      if (complete) this.#runs.delete(runId);
      else this.#clock.schedule(retryMs, () => this.#dispatch(run.jobId, { type: 'retry', runId }));
      this.#dispatch(run.jobId, { type: 'ended', runId, complete });
    };
    run.ending = run.end(graceMs, reasons).then(finish, () => finish(false));
  }

  #remember(record: JobRecord): void {
    this.#records.delete(record.jobId);
    this.#records.set(record.jobId, record);
    if (this.#records.size <= rememberedJobs) return;
    const oldest = [...this.#records.values()].find(({ permit, run }) => (permit ?? run) === undefined);
    if (oldest !== undefined) this.#records.delete(oldest.jobId);
  }

  /** Resolves when something changes about a job, or the time is over; rejects with the signal's reason. */
  #changed(jobId: string, waitMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        this.#events.off('change', onChange);
        signal.removeEventListener('abort', onAbort);
        timer.cancel();
        settle();
      };
      const onChange = (changed: string): void => {
        if (changed === jobId) finish(resolve);
      };
      const onAbort = (): void => finish(() => reject(signal.reason as Error));
      const timer: Timer = this.#clock.schedule(waitMs, () => finish(resolve));
      this.#events.on('change', onChange);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
