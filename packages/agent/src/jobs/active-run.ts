import { sleep, type Clock } from '@muster/shared/clock.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { RunCgroup } from './cgroup.js';
import {
  carriesRunId,
  identify,
  isAlive,
  signalProcess,
  type endRun,
  type ProcessIdentity,
  type RunTarget,
} from './process-tree.js';

/** What a command's supervisor, the process that starts it, asks for. */
export interface StartRequest {
  readonly jobId: string;
  /** How long to wait for a permit, ms. */
  readonly waitMs: number;
  /** The asking process. */
  readonly supervisorPid: number;
  /** Aborted when the asking process has gone. */
  readonly signal: AbortSignal;
  /** Called at most once, when permission is taken back. */
  readonly onStop: (graceMs: number, reasons: readonly Reason[]) => void;
}

/** How long a command's supervisor may take to say that it starts nothing more, before it is killed, ms. */
const settleMs = 1_000;

/** What a run is made of. */
export interface ActiveRunParts {
  readonly runId: string;
  readonly request: StartRequest;
  /** The process that starts the command. */
  readonly supervisor: ProcessIdentity;
  readonly cgroup: RunCgroup | undefined;
  readonly clock: Clock;
  readonly endRun: typeof endRun;
}

/** One run of a command, from the moment that its supervisor may start it until nothing of it is left. */
export class ActiveRun {
  readonly jobId: string;
  /** Resolves when no process of the run is left. */
  readonly over: Promise<void>;
  /** The attempt to end it that is under way. */
  ending: Promise<void> | undefined;
  readonly #parts: ActiveRunParts;
  readonly #settled: Promise<void>;
  #settle: () => void = () => undefined;
  #isOver: () => void = () => undefined;
  #hasSettled = false;
  #toldToStop = false;
  #leader: ProcessIdentity | undefined;

  constructor(parts: ActiveRunParts) {
    this.#parts = parts;
    this.jobId = parts.request.jobId;
    this.#settled = new Promise((resolve) => (this.#settle = resolve));
    this.over = new Promise((resolve) => (this.#isOver = resolve));
  }

  /** Notes the command's process. False when it runs and cannot be supervised: another user's, or not of this run. */
  lead(pid: number): boolean {
    this.#leader = identify(pid);
    if (this.#toldToStop && this.#leader !== undefined) signalProcess(this.#leader, 'SIGTERM');
    return this.#leader === undefined || carriesRunId(pid, this.#parts.runId) || !isAlive(this.#leader);
  }

  /** The command's supervisor has said that it starts nothing more, or is gone. */
  settle(): void {
    this.#hasSettled = true;
    this.#settle();
  }

  /**
   * Ends every process of the run, and its supervisor if it does not answer. True when nothing is left.
   * With reasons, the supervisor is told first that permission is taken back.
   */
  async end(graceMs: number, reasons: readonly Reason[]): Promise<boolean> {
    if (reasons.length > 0 && !this.#toldToStop) {
      this.#toldToStop = true;
      this.#parts.request.onStop(graceMs, reasons);
    }
    const { clock, cgroup, supervisor, endRun } = this.#parts;
    await endRun(this.#target(), graceMs, clock);
    if (!(await this.#hasSettledInTime())) {
      signalProcess(supervisor, 'SIGKILL');
      await this.#hasSettledInTime();
    }
    // The supervisor may have started the command after the first look.
    const left = await endRun(this.#target(), 0, clock);
    if (left.length > 0 || !this.#hasSettled) return false;
    cgroup?.remove();
    this.#isOver();
    return true;
  }

  #target(): RunTarget {
    const { runId, cgroup } = this.#parts;
    return {
      runId,
      ...(this.#leader !== undefined && { leader: this.#leader }),
      ...(cgroup !== undefined && { cgroup }),
    };
  }

  async #hasSettledInTime(): Promise<boolean> {
    const waited = new AbortController();
    const timeout = sleep(this.#parts.clock, settleMs, waited.signal).catch(() => undefined);
    await Promise.race([this.#settled, timeout]);
    waited.abort();
    return this.#hasSettled;
  }
}
