import { randomUUID } from 'node:crypto';
import type { Clock, Timer } from '@muster/shared/clock.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { Audit, Commands } from '../ports.js';
import type { Store } from '../store/store.js';
import { decide } from './decide.js';
import { checkJobCommand } from './job-commands.js';
import type { JobEvent } from './job-event.js';
import { newJob, type JobSpec, type JobState } from './job-state.js';
import { tokenDigests, type CheckContext } from './server-check.js';

/** What dry runs work with. */
export interface DryRunOptions extends CheckContext {
  readonly store: Store;
  readonly commands: Commands;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly checkTimeoutMs: number;
}

/** What admission would answer. */
export interface DryRunResult {
  readonly admitted: boolean;
  readonly reasons: readonly Reason[];
  readonly sites: JobState['sites'];
}

/** How the ids of dry runs begin; no job may have such an id. */
export const dryRunPrefix = 'dry-run.';

interface DryRun {
  state: JobState;
  timer?: Timer;
  readonly finish: () => void;
}

/**
 * Dry runs: the state machine of jobs on a job that exists nowhere. It has an id that no job can have, so that a site's
 * answer to a dry run never counts for a job.
 */
export class DryRuns {
  readonly #runs = new Map<string, DryRun>();
  readonly #options: DryRunOptions;
  /** The server's own check, the same that a real admission makes. */
  readonly #check: (spec: JobSpec) => readonly Reason[];

  constructor(options: DryRunOptions, check: (spec: JobSpec) => readonly Reason[]) {
    this.#options = options;
    this.#check = check;
  }

  /** Asks the server and every site as admission would. Errors: STORE_*. */
  async run(spec: JobSpec, actor: string): Promise<DryRunResult> {
    const id = `${dryRunPrefix}${randomUUID()}`;
    const { promise, finish } = completion();
    const run: DryRun = { state: newJob({ id, spec, submitter: actor, clonedFrom: '' }), finish };
    this.#runs.set(id, run);
    try {
      const sites = this.#advance(run, { type: 'admission_requested', reasons: this.#check(spec) });
      if (sites.length > 0) {
        await this.#ask(run, sites);
        await promise;
      }
      const reasons = run.state.phase === 'checking' ? this.#check(spec) : run.state.reasons;
      const admitted = run.state.phase === 'checking' && reasons.length === 0;
      await this.#record(run.state, admitted, reasons, actor);
      return { admitted, reasons, sites: run.state.sites };
    } finally {
      run.timer?.cancel();
      this.#runs.delete(id);
    }
  }

  /** Takes a site's answer; false when it is not about a dry run. */
  answer(jobId: string, event: Extract<JobEvent, { type: 'site_checked' }>): boolean {
    const run = this.#runs.get(jobId);
    if (run !== undefined) this.#advance(run, event);
    return run !== undefined || jobId.startsWith(dryRunPrefix);
  }

  /** Applies an event; returns the sites to ask. */
  #advance(run: DryRun, event: JobEvent): readonly string[] {
    const { state, effects } = decide(run.state, event);
    run.state = state;
    if (state.phase === 'blocked' || effects.some(({ type }) => type === 'sign_permit')) run.finish();
    return effects.flatMap((effect) => (effect.type === 'check_job' ? effect.participants : []));
  }

  async #ask(run: DryRun, sites: readonly string[]): Promise<void> {
    const { store, commands, clock, checkTimeoutMs } = this.#options;
    const { id: jobId, generation, spec } = run.state;
    const deadline = new Date(clock.now().getTime() + checkTimeoutMs);
    const participants = tokenDigests(spec, this.#options);
    const command = checkJobCommand({ jobId, generation, participants, deadline, dryRun: true });
    await store.transaction((tx) => commands.enqueue(tx, sites, command));
    run.timer = clock.schedule(checkTimeoutMs, () => {
      this.#advance(run, { type: 'check_deadline', generation });
    });
    commands.flush(sites);
  }

  async #record(
    { spec }: JobState,
    admitted: boolean,
    reasons: readonly Reason[],
    actor: string,
  ): Promise<void> {
    const { store, audit } = this.#options;
    await store.transaction((tx) =>
      audit.append(tx, {
        actor,
        action: 'job.dry_run',
        subject: spec.participants.join(','),
        decision: admitted ? 'allowed' : 'refused',
        reasons,
      }),
    );
  }
}

function completion(): { readonly promise: Promise<void>; readonly finish: () => void } {
  let finish: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    finish = resolve;
  });
  return { promise, finish };
}
