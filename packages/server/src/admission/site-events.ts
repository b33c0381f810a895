import type { Clock } from '@muster/shared/clock.js';
import { MusterError } from '@muster/shared/errors.js';
import type { Logger } from '@muster/shared/logging/logger.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import type { CommandResult, Commands, JobEvents, Speaker } from '../ports.js';
import { requireCurrentEpoch } from '../store/participants.js';
import type { Store, Transaction } from '../store/store.js';
import type { DryRuns } from './dry-run.js';
import type { JobBoard } from './job-board.js';
import { stopJobCommand } from './job-commands.js';
import type { JobEvent } from './job-event.js';
import { isPermitted, siteOf } from './job-state.js';
import type { Reactions } from './reactions.js';

/** What the events of sites work with. */
export interface SiteEventsOptions {
  readonly board: JobBoard;
  readonly dryRuns: DryRuns;
  readonly reactions: Reactions;
  readonly store: Store;
  readonly commands: Commands;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly trustDomain: string;
  readonly stopGraceMs: number;
}

const runOf = { RUNNING: 'running', COMPLETED: 'completed', FAILED: 'failed', STOPPED: 'stopped' } as const;

/** What agents say about jobs, as events of those jobs. */
export class SiteEvents implements JobEvents {
  readonly #options: SiteEventsOptions;

  constructor(options: SiteEventsOptions) {
    this.#options = options;
    options.commands.onResult((result) => this.#onResult(result));
  }

  async onJobCheck(
    speaker: Speaker,
    jobId: string,
    generation: number,
    accepted: boolean,
    reasons: readonly Reason[],
  ): Promise<void> {
    const { dryRuns, logger } = this.#options;
    const { participant } = speaker;
    const codes = reasons.map(({ code }) => code);
    logger.info('job.check', { job: jobId, generation, participant, accepted, reasons: codes });
    const event = { type: 'site_checked', participant, generation, accepted, reasons } as const;
    if (!dryRuns.answer(jobId, event)) await this.#apply(speaker, jobId, event);
  }

  async onJobReport(
    speaker: Speaker,
    jobId: string,
    generation: number,
    state: keyof typeof runOf,
    exitCode: number,
    reasons: readonly Reason[],
  ): Promise<void> {
    const run = runOf[state];
    const { participant } = speaker;
    const known = await this.#apply(speaker, jobId, {
      type: 'site_reported',
      participant,
      generation,
      run,
      exitCode,
      reasons: about(participant, reasons),
    });
    this.#options.reactions.explained(jobId, participant);
    if (!known && run === 'running') await this.#stopStranger(participant, jobId, generation);
  }

  permitsOf(participant: string): { jobId: string; generation: number; permit: string }[] {
    return this.#options.board
      .active()
      .filter(({ state }) => {
        const { run } = siteOf(state, participant);
        return isPermitted(state) && (run === 'permitted' || run === 'running');
      })
      .map(({ state: { id, generation, permit } }) => ({ jobId: id, generation, permit }));
  }

  async onRunningJobs(
    speaker: Speaker,
    running: readonly { readonly jobId: string; readonly generation: number }[],
  ): Promise<void> {
    const { board } = this.#options;
    const { participant } = speaker;
    for (const { jobId, generation } of running) {
      const known = await this.#apply(speaker, jobId, { type: 'site_resumed', participant, generation });
      if (!known) await this.#stopStranger(participant, jobId, generation);
    }
    const listed = new Set(running.map(({ jobId }) => jobId));
    for (const { state } of board.active()) {
      if (listed.has(state.id) || siteOf(state, participant).run !== 'running') continue;
      await this.#apply(speaker, state.id, { type: 'site_resumed', participant, generation: undefined });
    }
  }

  async #onResult(result: CommandResult): Promise<void> {
    const { participant, action, outcome, reasons: given } = result;
    const reasons = about(participant, given);
    const refused = outcome === 'FAILED' || outcome === 'REJECTED';
    switch (action.$case) {
      case 'checkJob': {
        const { jobId, generation } = action.value;
        if (refused) await this.onJobCheck(result, jobId, Number(generation), false, reasons);
        return;
      }
      case 'permitJob': {
        const { permit } = action.value;
        if (!refused || permit === undefined) return;
        const generation = Number(permit.generation);
        const event = { type: 'permit_refused', participant, generation, reasons } as const;
        await this.#apply(result, permit.jobId, event);
        return;
      }
      case 'stopJob': {
        const { jobId, generation: through } = action.value;
        const generation = Number(through);
        if (outcome === 'APPLIED') {
          await this.#apply(result, jobId, { type: 'stop_applied', participant, generation });
        } else if (refused) {
          await this.#apply(result, jobId, { type: 'stop_failed', participant, generation, reasons });
        }
        return;
      }
      case 'shutdown':
      case 'reattest':
      case 'rotateCertificate':
        return;
      default:
        action satisfies never;
    }
  }

  /** Applies an event of a site; false when the job is unknown, or the site is none of its participants. */
  async #apply({ participant, epoch }: Speaker, jobId: string, event: JobEvent): Promise<boolean> {
    const { board, trustDomain } = this.#options;
    const actor = formatSpiffeId({ trustDomain, role: 'site', name: participant });
    try {
      const condition = (tx: Transaction): Promise<void> => requireCurrentEpoch(tx, participant, epoch);
      const { state } = await board.apply(jobId, event, actor, { condition });
      return Object.hasOwn(state.sites, participant);
    } catch (error) {
      if (error instanceof MusterError && error.code === 'JOB_UNKNOWN') return false;
      throw error;
    }
  }

  async #stopStranger(participant: string, jobId: string, generation: number): Promise<void> {
    const { store, commands, stopGraceMs: graceMs } = this.#options;
    const reasons = [reason('JOB_UNKNOWN_TO_SERVER', { participant })];
    const command = stopJobCommand({ jobId, generation, graceMs, reasons });
    await store.transaction((tx) => commands.enqueue(tx, [participant], command));
    commands.flush([participant]);
  }
}

/** A site's reasons are about itself unless they say otherwise. */
function about(participant: string, reasons: readonly Reason[]): readonly Reason[] {
  return reasons.map((entry) => ({ ...entry, participant: entry.participant ?? participant }));
}
