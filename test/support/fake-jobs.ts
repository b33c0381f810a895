import type { JobRecord, JobReport, Permit } from '@muster/agent/jobs/job-record.js';
import { emptyRecord, notStartedCode } from '@muster/agent/jobs/job-record.js';
import type { JobSupervisor, RunningJob, StopOutcome } from '@muster/agent/jobs/supervisor.js';
import type { Reason } from '@muster/shared/reasons.js';

type Jobs = Pick<
  JobSupervisor,
  'permit' | 'forfeit' | 'stop' | 'limitGrace' | 'stopAll' | 'jobs' | 'running' | 'onReport'
>;

/** Jobs without processes: what is permitted runs at once, and ends when a test lets it. */
export class FakeJobs implements Jobs {
  readonly permits: Permit[] = [];
  readonly stops: { readonly jobId: string; readonly upTo: bigint; readonly reasons: readonly Reason[] }[] =
    [];
  /** While set, stops wait for it. */
  ending: Promise<StopOutcome> = Promise.resolve({ stopped: true });
  graceLimitMs: number | undefined;
  readonly #running = new Map<string, bigint>();
  readonly #listeners: ((report: JobReport) => void)[] = [];

  permit(permit: Permit): void {
    this.permits.push(permit);
    this.run(permit.jobId, permit.generation);
  }

  forfeit(jobId: string, generation: bigint, reasons: readonly Reason[]): void {
    if (this.#running.get(jobId) === generation) return;
    this.report({ jobId, generation, state: 'FAILED', exitCode: notStartedCode, reasons });
  }

  /** A job runs that this test did not permit. */
  run(jobId: string, generation: bigint): void {
    this.#running.set(jobId, generation);
  }

  async stop(
    jobId: string,
    upTo: bigint,
    _graceMs: number | undefined,
    reasons: readonly Reason[],
  ): Promise<StopOutcome> {
    this.stops.push({ jobId, upTo, reasons });
    const outcome = await this.ending;
    const generation = this.#running.get(jobId);
    if (outcome.stopped && generation !== undefined && generation <= upTo) this.#running.delete(jobId);
    return outcome;
  }

  limitGrace(ms: number): void {
    this.graceLimitMs = ms;
  }

  async stopAll(graceMs: number | undefined, reasons: readonly [Reason, ...Reason[]]): Promise<StopOutcome> {
    const stops = this.running().map(({ jobId, generation }) =>
      this.stop(jobId, generation, graceMs, reasons),
    );
    const outcomes = await Promise.all(stops);
    return outcomes.find(({ stopped }) => !stopped) ?? { stopped: true };
  }

  running(): RunningJob[] {
    return [...this.#running].map(([jobId, generation]) => ({ jobId, generation }));
  }

  jobs(): JobRecord[] {
    return this.running().map(({ jobId, generation }) => ({
      ...emptyRecord(jobId),
      run: { runId: jobId, generation, phase: 'running' },
    }));
  }

  onReport(listener: (report: JobReport) => void): () => void {
    this.#listeners.push(listener);
    return () => undefined;
  }

  /** Reports a change, as the supervisor would. */
  report(report: JobReport): void {
    for (const listener of this.#listeners) listener(report);
  }
}
