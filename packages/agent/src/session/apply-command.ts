import type { Clock } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type {
  CheckJob,
  Command,
  DesiredState,
  JobPermit,
  ShutdownAgent,
  StopJob,
} from '@muster/shared/gen/muster/v1/agent.js';
import { fromDuration } from '@muster/shared/grpc/duration.js';
import { fromReasonMessage, toReasonMessage } from '@muster/shared/grpc/reasons.js';
import type { Logger } from '@muster/shared/logging/logger.js';
import { reason, type Reason, type ReasonCode } from '@muster/shared/reasons.js';
import type { Permit } from '../jobs/job-record.js';
import type { JobSupervisor, StopOutcome } from '../jobs/supervisor.js';
import type { Agreements } from '../peers/agreements.js';
import type { JobChecker } from '../peers/check-job.js';
import { fetchTokens } from '../peers/fetch-tokens.js';
import type { CommandResult } from './command-log.js';
import type { Session } from './session.js';

/** What commands act on. */
export interface CommandParts {
  readonly jobs: Pick<JobSupervisor, 'permit' | 'forfeit' | 'stop' | 'stopAll' | 'jobs'>;
  readonly checker: JobChecker;
  readonly agreements: Agreements;
  readonly rotateCertificate: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long a permit waits for the first lease of a new session, ms. */
const leaseWaitMs = 10_000;
/** The longest time between SIGTERM and SIGKILL that a server may ask for, ms. */
const longestGraceMs = 600_000;

/** Reasons beyond this number do not travel, so that a message stays below 64 KiB. */
const maxReasons = 100;

const applied: CommandResult = { outcome: 'APPLIED', reasons: [] };

/** Carries commands out. APPLIED means that the effect holds: for a stop, that no process is left. */
export class CommandHandler {
  readonly #parts: CommandParts;

  constructor(parts: CommandParts) {
    this.#parts = parts;
  }

  /** Carries one command out. Rejects when it was tried and failed; REJECTED is an answer. */
  async apply({ action }: Command, session: Session): Promise<CommandResult> {
    switch (action?.$case) {
      case 'checkJob':
        return this.#checkJob(action.value, session);
      case 'permitJob': {
        const { permit } = action.value;
        return permit === undefined ? notUnderstood() : this.#permitJob(permit, session);
      }
      case 'stopJob':
        return this.#stopJob(action.value);
      case 'shutdown':
        return this.#shutdown(action.value);
      case 'reattest':
        return applied;
      case 'rotateCertificate':
        await this.#parts.rotateCertificate();
        return applied;
      case undefined:
        return notUnderstood();
      default:
        return action satisfies never;
    }
  }

  /**
   * Ends whatever has a permit or runs beside the desired state, and takes the permits in that this site agreed to. What
   * it cannot take, as an agent that was started again, is reported as failed. False when some process could not be
   * ended.
   */
  async reconcile({ jobs: desired }: DesiredState, session: Session): Promise<boolean> {
    const { jobs } = this.#parts;
    const wanted = new Map(desired.map(({ jobId, generation }) => [jobId, generation]));
    const stops = jobs.jobs().flatMap(({ jobId, permit, run }) => {
      const generations = [permit?.generation, run?.generation].filter((one) => one !== undefined);
      const beside = generations.filter((generation) => generation !== wanted.get(jobId));
      const latest = beside.toSorted((a, b) => (a < b ? -1 : 1)).at(-1);
      if (latest === undefined) return [];
      const code: ReasonCode = wanted.has(jobId) ? 'JOB_SUPERSEDED' : 'JOB_UNKNOWN_TO_SERVER';
      return [jobs.stop(jobId, latest, undefined, [reason(code)])];
    });
    const permits = desired.map(async (permit) => {
      const { outcome, reasons } = await this.#permitJob(permit, session);
      if (outcome !== 'APPLIED') jobs.forfeit(permit.jobId, permit.generation, reasons);
    });
    const [stopped] = await Promise.all([Promise.all(stops), Promise.all(permits)]);
    return stopped.every((outcome) => outcome.stopped);
  }

  async #checkJob(check: CheckJob, session: Session): Promise<CommandResult> {
    const { checker, agreements, logger } = this.#parts;
    const { jobId, generation } = check;
    const { server } = session;
    const unproven = server === undefined ? [reason('SERVER_UNPROVEN')] : await server.standing;
    const withinMs = (check.deadline?.getTime() ?? 0) - session.serverNow().getTime();
    const { reasons, sites, until } =
      server === undefined || unproven.length > 0
        ? { reasons: unproven, sites: [], until: undefined }
        : await checker.judge(
            check.participants,
            server.peer.identity.name,
            (names, signal) => fetchTokens(server.client, names, signal),
            withinMs,
          );
    const accepted = reasons.length === 0;
    if (accepted && !check.dryRun) agreements.add({ jobId, generation, sites, until });
    logger.info('job.check', { job: jobId, accepted, dry_run: check.dryRun, reasons });
    session.report({
      $case: 'jobCheck',
      value: {
        jobId,
        generation,
        accepted,
        reasons: reasons.slice(0, maxReasons).map(toReasonMessage),
      },
    });
    return applied;
  }

  async #permitJob(permit: JobPermit, session: Session): Promise<CommandResult> {
    const { jobs, logger } = this.#parts;
    const fields = { job: permit.jobId, generation: Number(permit.generation) };
    const answer = await this.#acceptPermit(permit, session);
    if ('reasons' in answer) {
      logger.warn('job.permit', { ...fields, accepted: false, reasons: answer.reasons });
      return rejected(answer.reasons);
    }
    jobs.permit(answer);
    logger.info('job.permit', { ...fields, accepted: true });
    return applied;
  }

  async #acceptPermit(
    { jobId, generation, permit }: JobPermit,
    session: Session,
  ): Promise<Permit | { readonly reasons: readonly Reason[] }> {
    const { agreements, clock } = this.#parts;
    const { server } = session;
    const unproven = server === undefined ? [reason('SERVER_UNPROVEN')] : await server.standing;
    if (server === undefined || unproven.length > 0) return { reasons: unproven };
    try {
      const { peer, jwks } = server;
      if (!(await session.holdsLease(leaseWaitMs))) throw refusal('LEASE_EXPIRED');
      const at = clock.now();
      const accepted = await agreements.accept({ jobId, generation, permit, server: peer, jwks, at });
      if (!(await session.holdsLease(0))) throw refusal('LEASE_EXPIRED');
      return accepted;
    } catch (error) {
      if (error instanceof MusterError) return { reasons: error.reasons };
      throw error;
    }
  }

  async #stopJob({ jobId, generation, grace, reasons }: StopJob): Promise<CommandResult> {
    const { jobs, agreements } = this.#parts;
    agreements.revoke(jobId, generation);
    return stopResult(
      await jobs.stop(jobId, generation, bounded(grace), readReasons(reasons, 'JOB_STOPPED_BY_OPERATOR')),
    );
  }

  async #shutdown({ grace, reasons }: ShutdownAgent): Promise<CommandResult> {
    const { jobs } = this.#parts;
    return stopResult(await jobs.stopAll(bounded(grace), readReasons(reasons, 'OPERATOR_SHUTDOWN')));
  }
}

/** The grace that a command asks for, ms; undefined where it leaves it to the site. */
function bounded(grace: StopJob['grace']): number | undefined {
  const ms = fromDuration(grace);
  return ms === undefined ? undefined : Math.min(Math.max(0, ms), longestGraceMs);
}

function readReasons(
  messages: readonly Parameters<typeof fromReasonMessage>[0][],
  otherwise: ReasonCode,
): [Reason, ...Reason[]] {
  const [first, ...rest] = messages.map(fromReasonMessage);
  return [first ?? reason(otherwise), ...rest];
}

function stopResult(outcome: StopOutcome): CommandResult {
  return outcome.stopped ? applied : { outcome: 'FAILED', reasons: outcome.reasons };
}

function rejected(reasons: readonly Reason[]): CommandResult {
  return { outcome: 'REJECTED', reasons };
}

function notUnderstood(): CommandResult {
  return rejected([reason('COMMAND_NOT_UNDERSTOOD')]);
}
