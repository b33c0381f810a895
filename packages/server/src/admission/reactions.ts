import type { Clock, Timer } from '@muster/shared/clock.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { expiryOfPermit, signPermit } from '@muster/shared/tokens/permit.js';
import type { Failure, Signer } from '../ports.js';
import type { JobBoard } from './job-board.js';
import type { JobEffect, JobEvent } from './job-event.js';
import { siteOf, type JobSpec, type JobState } from './job-state.js';
import { LeaseWatch } from './lease-watch.js';
import { permitContent, type CheckContext } from './server-check.js';

/** What reactions work with. */
export interface ReactionOptions extends CheckContext {
  readonly board: JobBoard;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signer: Signer;
  readonly checkTimeoutMs: number;
  /** The longest life of a permit, ms. */
  readonly permitLifetimeMs: number;
  /** When a participant's last lease has certainly ended, on the monotonic clock, ms. */
  readonly leaseEndsAt: (participant: string) => number;
  /** The server's own check, at the moment of admission. */
  readonly check: (spec: JobSpec) => readonly Reason[];
  /** Told of a site whose own check refused a job. */
  readonly onRefused: (failure: Failure) => void;
}

/** How long a site that resumed without a job has to say how that job ended, ms. */
const overdueMs = 10_000;
/** After how long an event that could not be stored is tried again, ms. */
const retryMs = 5_000;

/** What follows a decision besides its commands: timers, the watch of leases and the signing of permits. */
export class Reactions {
  readonly #deadlines = new Map<string, Timer>();
  readonly #starts = new Map<string, Timer>();
  readonly #overdue = new Map<string, Timer>();
  readonly #leases: LeaseWatch;
  readonly #options: ReactionOptions;

  constructor(options: ReactionOptions) {
    this.#options = options;
    const { clock, leaseEndsAt } = options;
    this.#leases = new LeaseWatch({ clock, leaseEndsAt, onEnded: (name) => this.#leaseEnded(name) });
  }

  /** Carries out an effect of a decision that was committed. */
  react(state: JobState, effect: JobEffect): void {
    const { id } = state;
    switch (effect.type) {
      case 'check_job':
        return this.#armDeadline(id, effect.generation);
      case 'disarm_check_deadline':
        this.#deadlines.get(id)?.cancel();
        this.#deadlines.delete(id);
        return;
      case 'sign_permit':
        void this.#clear(state, effect.generation);
        return;
      case 'expect_start':
        return this.#expectStart(id, effect.generation, expiryOfPermit(effect.permit));
      case 'watch_lease':
        return this.#leases.watch(effect.participant);
      case 'expect_report':
        return this.#expectReport(id, effect.participant, effect.generation);
      case 'site_refused': {
        const { participant, reasons } = effect;
        return this.#options.onRefused({ kind: 'admission_refused', participant, reasons });
      }
      default:
    }
  }

  /** A site has said what became of a job there. */
  explained(jobId: string, participant: string): void {
    const key = `${jobId}/${participant}`;
    this.#overdue.get(key)?.cancel();
    this.#overdue.delete(key);
  }

  #armDeadline(jobId: string, generation: number): void {
    const { clock, checkTimeoutMs } = this.#options;
    this.#deadlines.get(jobId)?.cancel();
    const timer = clock.schedule(checkTimeoutMs, () =>
      this.#applySurely(jobId, { type: 'check_deadline', generation }),
    );
    this.#deadlines.set(jobId, timer);
  }

  #expectReport(jobId: string, participant: string, generation: number): void {
    this.explained(jobId, participant);
    const timer = this.#options.clock.schedule(overdueMs, () => {
      this.explained(jobId, participant);
      this.#applySurely(jobId, { type: 'report_overdue', participant, generation });
    });
    this.#overdue.set(`${jobId}/${participant}`, timer);
  }

  #expectStart(jobId: string, generation: number, expiresAt: Date): void {
    const { clock } = this.#options;
    this.#starts.get(jobId)?.cancel();
    const left = expiresAt.getTime() - clock.now().getTime();
    const timer = clock.schedule(Math.max(0, left), () => {
      this.#starts.delete(jobId);
      if (clock.now() < expiresAt) this.#expectStart(jobId, generation, expiresAt);
      else this.#applySurely(jobId, { type: 'permit_expired', generation });
    });
    this.#starts.set(jobId, timer);
  }

  #leaseEnded(participant: string): void {
    for (const { state } of this.#options.board.active()) {
      if (siteOf(state, participant).run !== 'none') {
        this.#applySurely(state.id, { type: 'lease_ended', participant });
      }
    }
  }

  /** Signs the permit, then looks at every standing again: what counts is the moment of admission. */
  async #clear({ id: jobId, spec }: JobState, generation: number): Promise<void> {
    const { board, clock, signer, permitLifetimeMs, check, logger } = this.#options;
    try {
      const content = permitContent(spec, this.#options, clock.now(), permitLifetimeMs);
      const permit = await signPermit({ jobId, generation, ...content }, signer);
      const decide = (): JobEvent => {
        const reasons = check(spec);
        return reasons.length === 0
          ? { type: 'cleared', generation, permit }
          : { type: 'denied', generation, reasons };
      };
      await board.apply(jobId, decide, signer.issuer);
    } catch (error) {
      logger.error('job.check', { job: jobId, ...errorFields(error) });
      this.#applySurely(jobId, { type: 'denied', generation, reasons: [reason('INTERNAL')] });
    }
  }

  /** Applies an event that nobody will repeat; when the store refuses it, again later. */
  #applySurely(jobId: string, event: JobEvent): void {
    const { board, clock, logger, signer } = this.#options;
    board.apply(jobId, event, signer.issuer).catch((error: unknown) => {
      logger.error('job.changed', { job: jobId, event: event.type, ...errorFields(error) });
      clock.schedule(retryMs, () => this.#applySurely(jobId, event));
    });
  }
}
