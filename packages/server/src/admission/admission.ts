import { MusterError, refusal } from '@muster/shared/errors.js';
import { errorFields } from '@muster/shared/logging/logger.js';
import type { Policy } from '@muster/shared/policy/policy.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import type { Failure, JobEvents, Signer } from '../ports.js';
import { selectJobs, type JobQuery, type JobRecord } from '../store/jobs.js';
import { DryRuns, type DryRunResult } from './dry-run.js';
import { JobBoard, type JobBoardOptions } from './job-board.js';
import type { JobEvent } from './job-event.js';
import { isPermitted, newJob, siteOf, type JobSpec, type JobState } from './job-state.js';
import { Reactions } from './reactions.js';
import { serverCheck } from './server-check.js';
import { SiteEvents } from './site-events.js';

/** What admission works with. */
export interface AdmissionOptions extends JobBoardOptions {
  readonly policy: Policy;
  readonly signer: Signer;
  /** When a participant's last lease has certainly ended, on the monotonic clock, ms; 0 when it holds none. */
  readonly leaseEndsAt: (participant: string) => number;
  /** How long after it was granted a lease has certainly ended: its time to live and the margin, ms. */
  readonly longestLeaseMs: number;
}

/** A registration. */
export type Submission = Pick<JobState, 'id' | 'spec' | 'submitter'>;

/** Errors that are the caller's own; any other while a job is being admitted blocks the job. */
const callersErrors: ReadonlySet<string> = new Set(['JOB_UNKNOWN', 'JOB_STATE', 'SHUTTING_DOWN']);

/** Jobs: who may run them, and the taking back of that permission. docs/admission.md describes it. */
export class Admission {
  /** What agents say about jobs. */
  readonly siteEvents: JobEvents;
  readonly #board: JobBoard;
  readonly #dryRuns: DryRuns;
  readonly #options: AdmissionOptions;
  readonly #refusalListeners = new Set<(failure: Failure) => void>();
  readonly #removedLeaseEnds = new Map<string, number>();
  /** A site that was permitted a job gets its lease with its next heartbeat, if it holds none yet. */
  readonly #permittedLeaseEnds = new Map<string, number>();
  #earliestLeaseEnd = 0;
  #closed = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    const { policy, clock, registry } = options;
    const check = (spec: JobSpec): readonly Reason[] => this.#check(spec);
    this.#board = new JobBoard(options, (state, effect) => {
      if (effect.type === 'permit_job') {
        this.#permittedLeaseEnds.set(effect.participant, clock.monotonic() + options.longestLeaseMs);
      }
      reactions.react(state, effect);
    });
    const reactions = new Reactions({
      ...options,
      board: this.#board,
      permitLifetimeMs: policy.token_lifetime,
      leaseEndsAt: (participant) => this.#leaseEndsAt(participant),
      check,
      onRefused: (failure) => this.#refusalListeners.forEach((listener) => listener(failure)),
    });
    this.#dryRuns = new DryRuns(options, check);
    this.siteEvents = new SiteEvents({
      ...options,
      board: this.#board,
      dryRuns: this.#dryRuns,
      reactions,
      trustDomain: options.signer.trustDomain,
    });
    registry.watch((name, participant) => {
      if (participant !== undefined) this.#removedLeaseEnds.delete(name);
      else this.#removedLeaseEnds.set(name, clock.monotonic() + options.longestLeaseMs);
    });
  }

  /**
   * Takes up the jobs of the store. Sites may hold leases of the process before this one, so none counts as ended before
   * the longest lease has passed. What lost a participant while the server was down is stopped.
   */
  async start(): Promise<void> {
    const { clock, longestLeaseMs, registry, signer } = this.#options;
    await this.#board.load();
    if (this.#board.active().length > 0) this.#earliestLeaseEnd = clock.monotonic() + longestLeaseMs;
    for (const { state } of this.#board.active()) {
      await this.#board.apply(state.id, { type: 'recovered' }, signer.issuer);
      for (const participant of state.spec.participants) {
        const { run } = siteOf(state, participant);
        const registered = registry.find(participant);
        const lost =
          registered === undefined
            ? [reason('PARTICIPANT_REMOVED', { participant })]
            : registered.quarantine && [
                reason('PARTICIPANT_QUARANTINED', { participant }),
                ...registered.quarantine,
              ];
        if (lost === undefined || !isPermitted(state) || (run !== 'permitted' && run !== 'running')) continue;
        await this.#board.apply(state.id, { type: 'permission_lost', reasons: lost }, signer.issuer);
      }
    }
  }

  /** Registers a job; one with custom code is blocked at once unless the policy allows it. Errors: JOB_EXISTS, SHUTTING_DOWN. */
  submit(job: Submission): Promise<JobRecord> {
    return this.#register({ ...job, clonedFrom: '' });
  }

  /** Registers a copy of a job. Errors: JOB_UNKNOWN, JOB_EXISTS, SHUTTING_DOWN. */
  async clone(originalId: string, copy: Omit<Submission, 'spec'>): Promise<JobRecord> {
    const { state } = await this.#board.get(originalId);
    return this.#register({ ...copy, spec: state.spec, clonedFrom: originalId });
  }

  /**
   * Decides admission and returns the job once that is done: admitted, or blocked with reasons. A second caller gets the
   * same decision. Whatever fails on the way blocks the job. Errors: JOB_UNKNOWN, JOB_STATE, SHUTTING_DOWN.
   */
  async admit(jobId: string, actor: string, signal?: AbortSignal): Promise<JobRecord> {
    const job = this.#follow(jobId);
    try {
      const record = await this.#board
        .apply(jobId, (state) => this.#admissionEvent(state), actor)
        .catch((error: unknown) => this.#blocked(jobId, error, actor));
      const { phase, generation } = record.state;
      return phase === 'checking' ? await job.decision(generation, signal) : record;
    } finally {
      job.cancel();
    }
  }

  /** Answers as {@link admit} would, without effect on any job. Errors: SHUTTING_DOWN. */
  async dryRun(spec: JobSpec, actor: string): Promise<DryRunResult> {
    this.#requireOpen();
    return this.#dryRuns.run(spec, actor);
  }

  /** Takes a framework's report on the job that it runs. Repeating one changes nothing. Errors: JOB_UNKNOWN, JOB_STATE. */
  report(
    jobId: string,
    report: Omit<Extract<JobEvent, { type: 'framework_reported' }>, 'type'>,
    actor: string,
  ): Promise<JobRecord> {
    const event = (state: JobState): JobEvent | undefined => {
      const { phase, generation } = state;
      if (generation === report.generation && phase === report.run) return undefined;
      if (generation === report.generation && isPermitted(state)) {
        return { type: 'framework_reported', ...report };
      }
      throw refusal('JOB_STATE', {
        message: `The job ${jobId} is ${phase} in generation ${generation}, so it cannot be ${report.run} in generation ${report.generation}.`,
      });
    };
    return this.#board.apply(jobId, event, actor);
  }

  /** Ends a job at every site; does nothing when it has ended. Errors: JOB_UNKNOWN. */
  stop(jobId: string, reasons: readonly Reason[], actor: string, comment?: string): Promise<JobRecord> {
    return this.#board.apply(jobId, { type: 'stop_requested', reasons }, actor, { comment });
  }

  /**
   * Takes permission back from the jobs of a participant: at all their sites, or only its own part of them. The server
   * is a participant of every job. A job that fails to be stopped does not keep the others from it. Errors: STORE_*.
   */
  async stopJobsOf(
    participant: string,
    scope: 'all_sites' | 'own_site',
    reasons: readonly Reason[],
    actor: string,
  ): Promise<void> {
    const concerned = ({ state }: JobRecord): boolean =>
      participant === this.#options.serverName || Object.hasOwn(state.sites, participant);
    const site =
      scope === 'own_site' && participant !== this.#options.serverName ? { site: participant } : {};
    const event: JobEvent = { type: 'permission_lost', ...site, reasons };
    await this.#applyToActive(concerned, event, actor);
  }

  /** Takes permission back from every job. Errors: STORE_*. */
  async stopAll(reasons: readonly Reason[], actor: string): Promise<void> {
    await this.#applyToActive(() => true, { type: 'permission_lost', reasons }, actor);
  }

  /** From now on nothing is submitted or admitted. */
  close(): void {
    this.#closed = true;
  }

  /** One job. Errors: JOB_UNKNOWN. */
  get(jobId: string): Promise<JobRecord> {
    return this.#board.get(jobId);
  }

  /** At most `limit` jobs, newest first. */
  list(query: JobQuery): Promise<readonly JobRecord[]> {
    return this.#options.store.transaction((tx) => selectJobs(tx, query));
  }

  /** The jobs that are being checked or may have processes somewhere. */
  active(): readonly JobRecord[] {
    return this.#board.active();
  }

  /** Calls back after every change of a job. Returns the way to unsubscribe. */
  watch(listener: (record: JobRecord) => void): () => void {
    return this.#board.watch(listener);
  }

  /** Calls back when a site's own check refuses a job that the server's had accepted. */
  onRefusal(listener: (failure: Failure) => void): void {
    this.#refusalListeners.add(listener);
  }

  async #register(job: Submission & { readonly clonedFrom: string }): Promise<JobRecord> {
    this.#requireOpen();
    const first = this.#barring(job.spec);
    const record = await this.#board.register(newJob(job), first, job.submitter);
    if (sameRegistration(record.state, job)) return record;
    throw refusal('JOB_EXISTS', { message: `The job id ${job.id} is taken by a different job.` });
  }

  #barring({ byoc }: JobSpec): JobEvent | undefined {
    return byoc && !this.#options.policy.byoc ? { type: 'barred', reasons: [reason('JOB_BYOC')] } : undefined;
  }

  #admissionEvent(state: JobState): JobEvent | undefined {
    this.#requireOpen();
    const { phase, barred, spec } = state;
    if (phase === 'checking' || phase === 'admitted' || barred) return undefined;
    if (phase !== 'submitted' && phase !== 'blocked') {
      throw refusal('JOB_STATE', { message: `The job ${state.id} is ${phase}.` });
    }
    return this.#barring(spec) ?? { type: 'admission_requested', reasons: this.#check(spec) };
  }

  #blocked(jobId: string, error: unknown, actor: string): Promise<JobRecord> {
    if (error instanceof MusterError && callersErrors.has(error.code)) throw error;
    this.#options.logger.error('job.check', { job: jobId, ...errorFields(error) });
    const reasons = error instanceof MusterError ? error.reasons : [reason('INTERNAL')];
    return this.#board.apply(jobId, { type: 'admission_requested', reasons }, actor);
  }

  /** The server's own check; what it cannot decide counts as no. */
  #check(spec: JobSpec): readonly Reason[] {
    if (this.#closed) return [reason('SHUTTING_DOWN')];
    if (this.#barring(spec) !== undefined) return [reason('JOB_BYOC')];
    const { clock, policy } = this.#options;
    const latestIssue = new Date(clock.now().getTime() + policy.clock_leeway);
    return serverCheck(spec, this.#options, latestIssue);
  }

  /** Follows a job from now on; `decision` resolves once a generation of it is not being checked any more. */
  #follow(jobId: string): {
    decision: (generation: number, signal?: AbortSignal) => Promise<JobRecord>;
    cancel: () => void;
  } {
    let latest: JobRecord | undefined;
    let look = (): void => undefined;
    const cancel = this.#board.watch((record) => {
      if (record.state.id !== jobId) return;
      latest = record;
      look();
    });
    const decision = (generation: number, signal?: AbortSignal): Promise<JobRecord> =>
      new Promise((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        look = () => {
          if (latest === undefined || latest.state.generation < generation) return;
          if (latest.state.generation > generation || latest.state.phase !== 'checking') resolve(latest);
        };
        look();
      });
    return { decision, cancel };
  }

  async #applyToActive(
    concerned: (record: JobRecord) => boolean,
    event: JobEvent,
    actor: string,
  ): Promise<void> {
    const jobs = this.#board.active().filter(concerned);
    const outcomes = await Promise.allSettled(
      jobs.map(({ state }) => this.#board.apply(state.id, event, actor)),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  #leaseEndsAt(participant: string): number {
    return Math.max(
      this.#earliestLeaseEnd,
      this.#removedLeaseEnds.get(participant) ?? 0,
      this.#permittedLeaseEnds.get(participant) ?? 0,
      this.#options.leaseEndsAt(participant),
    );
  }

  #requireOpen(): void {
    if (this.#closed) throw refusal('SHUTTING_DOWN');
  }
}

function sameRegistration(state: JobState, job: Submission & { readonly clonedFrom: string }): boolean {
  const { participants, byoc, name } = job.spec;
  return (
    state.clonedFrom === job.clonedFrom &&
    JSON.stringify([state.spec.participants, state.spec.byoc, state.spec.name]) ===
      JSON.stringify([participants, byoc, name])
  );
}
