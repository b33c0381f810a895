import { sleep, type Clock } from '@muster/shared/clock.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { RunCgroup } from './cgroup.js';
import {
  carriesRunId,
  endRun,
  identify,
  isAlive,
  signalProcess,
  type ProcessIdentity,
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

/** One run of a command, from the moment that its supervisor may start it until nothing of it is left. */
export class ActiveRun {
  readonly runId: string;
  readonly jobId: string;
  readonly cgroup: RunCgroup | undefined;
  /** Resolves when no process of the run is left. */
  readonly over: Promise<void>;
  /** The attempt to end it that is under way. */
  ending: Promise<void> | undefined;
  readonly #request: StartRequest;
  readonly #supervisor: ProcessIdentity;
  readonly #clock: Clock;
  readonly #settled: Promise<void>;
  readonly #isOver: () => void;
  #settle: () => void = () => undefined;
  #hasSettled = false;
  #toldToStop = false;
  #leader: ProcessIdentity | undefined;

  constructor(
    runId: string,
    request: StartRequest,
    supervisor: ProcessIdentity,
    cgroup: RunCgroup | undefined,
    clock: Clock,
  ) {
    this.runId = runId;
    this.jobId = request.jobId;
    this.cgroup = cgroup;
    this.#request = request;
    this.#supervisor = supervisor;
    this.#clock = clock;
    this.#settled = new Promise((resolve) => (this.#settle = resolve));
    let isOver: () => void = () => undefined;
    this.over = new Promise((resolve) => (isOver = resolve));
    this.#isOver = isOver;
  }

  /** Notes the command's process. False when it runs and cannot be supervised: another user's, or not of this run. */
  lead(pid: number): boolean {
    this.#leader = identify(pid);
    if (this.#toldToStop && this.#leader !== undefined) signalProcess(this.#leader, 'SIGTERM');
    return this.#leader === undefined || carriesRunId(pid, this.runId) || !isAlive(this.#leader);
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
      this.#request.onStop(graceMs, reasons);
    }
    await endRun(this.#target(), graceMs, this.#clock);
    if (!(await this.#hasSettledInTime())) {
      signalProcess(this.#supervisor, 'SIGKILL');
      await this.#hasSettledInTime();
    }
    // The supervisor may have started the command after the first look.
    const left = await endRun(this.#target(), 0, this.#clock);
    if (left.length > 0 || !this.#hasSettled) return false;
    this.cgroup?.remove();
    this.#isOver();
    return true;
  }

  #target(): { runId: string; leader?: ProcessIdentity; cgroup?: RunCgroup } {
    return {
      runId: this.runId,
      ...(this.#leader !== undefined && { leader: this.#leader }),
      ...(this.cgroup !== undefined && { cgroup: this.cgroup }),
    };
  }

  async #hasSettledInTime(): Promise<boolean> {
    const waited = new AbortController();
    const timeout = sleep(this.#clock, settleMs, waited.signal).catch(() => undefined);
    await Promise.race([this.#settled, timeout]);
    waited.abort();
    return this.#hasSettled;
  }
}
