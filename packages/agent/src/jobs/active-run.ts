import { sleep, type Clock } from '@muster/shared/clock.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { RunCgroup } from './cgroup.js';
import {
  identify,
  identifyChild,
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
  /** The asking process, which will start the command. */
  readonly supervisor: ProcessIdentity;
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

  /**
   * Notes the command's process, which must be a child of the supervisor. False when it runs and cannot be supervised:
   * it is no such child, or belongs to another user.
   */
  lead(pid: number): boolean {
    if (this.#leader !== undefined || identify(pid) === undefined) return true;
    this.#leader = identifyChild(this.#parts.request.supervisor, pid);
    if (this.#leader === undefined) return false;
    return signalProcess(this.#leader, this.#toldToStop ? 'SIGTERM' : 0) || !isAlive(this.#leader);
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
    const { clock, cgroup, request, endRun } = this.#parts;
    await endRun(this.#target(), graceMs, clock);
    if (!(await this.#hasSettledInTime())) {
      signalProcess(request.supervisor, 'SIGKILL');
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
