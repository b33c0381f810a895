import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import type { Logger } from '@muster/shared/logging/logger.js';
import type { Audit, Commands, Registry } from '../ports.js';
import { afterCommit, atCommit } from '../store/after-commit.js';
import { Batches } from '../store/batches.js';
import {
  insertJob,
  isActive,
  selectActiveJobs,
  selectJob,
  updateJob,
  type JobRecord,
} from '../store/jobs.js';
import type { Store, Transaction } from '../store/store.js';
import { decide } from './decide.js';
import { checkJobCommand, permitJobCommand, stopJobCommand } from './job-commands.js';
import type { JobDecision, JobEffect, JobEvent } from './job-event.js';
import type { JobState } from './job-state.js';
import { evidenceDigests, tokenDigests, type CheckContext } from './server-check.js';

/** What the board of jobs works with. */
export interface JobBoardOptions {
  readonly store: Store;
  readonly registry: Registry;
  readonly commands: Commands;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly serverName: string;
  /** How long sites may take to answer CheckJob, ms. */
  readonly checkTimeoutMs: number;
  /** Between SIGTERM and SIGKILL when a job is stopped, ms. */
  readonly stopGraceMs: number;
}

/** How an event is applied. */
export interface ApplyOptions {
  /** For the audit log. */
  readonly comment?: string | undefined;
  /** Rejects, in the transaction of the decision, when nothing may be decided. */
  readonly condition?: (tx: Transaction) => Promise<void>;
}

/** An event to apply. */
interface Application extends ApplyOptions {
  readonly event: JobEvent | ((state: JobState) => JobEvent | undefined);
  /** The SPIFFE id of who caused it. */
  readonly actor: string;
}

type JobListener = (record: JobRecord) => void;
type EffectListener = (state: JobState, effect: JobEffect) => void;

/**
 * The jobs: a decision, its commands and its audit record are one transaction; memory, listeners and the rest of the
 * effects follow its commit. Every event is decided on the state that the store holds.
 */
export class JobBoard {
  readonly #active = new Map<string, JobRecord>();
  readonly #listeners = new Set<JobListener>();
  readonly #options: JobBoardOptions;
  readonly #onEffect: EffectListener;
  /** All sites of a job answer at about the same time. */
  readonly #applications: Batches<Application, JobRecord>;

  /** `onEffect` is called after the commit with every effect that is not a command or an audit record. */
  constructor(options: JobBoardOptions, onEffect: EffectListener) {
    this.#options = options;
    this.#onEffect = onEffect;
    this.#applications = new Batches(options.store, (tx, jobId, applications) =>
      this.#applyAll(tx, jobId, applications),
    );
  }

  /** Loads the active jobs. To be called once, before anything else. */
  async load(): Promise<void> {
    const records = await this.#options.store.transaction(selectActiveJobs);
    for (const record of records) this.#active.set(record.state.id, record);
  }

  /** The jobs that are being checked or may have processes somewhere, in order of submission. */
  active(): readonly JobRecord[] {
    return [...this.#active.values()];
  }

  /** One job. Errors: JOB_UNKNOWN. */
  async get(jobId: string): Promise<JobRecord> {
    return this.#options.store.transaction((tx) => existing(tx, jobId));
  }

  /** Calls back after every change of a job. Returns the way to unsubscribe. */
  watch(listener: JobListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Registers a job, and applies a first event to it in the same transaction if there is one. When the id is taken the
   * job that has it is returned, and nothing changes.
   */
  async register(state: JobState, first: JobEvent | undefined, actor: string): Promise<JobRecord> {
    const { store, audit, clock } = this.#options;
    return store.transaction(async (tx) => {
      const inserted = await insertJob(tx, state, clock.now());
      if (inserted === undefined) return existing(tx, state.id);
      await audit.append(tx, {
        actor,
        action: 'job.submit',
        subject: state.id,
        decision: 'done',
        reasons: [],
      });
      if (first === undefined) {
        this.#publish(tx, inserted);
        return inserted;
      }
      const record = await this.#decide(tx, inserted, first, actor);
      await updateJob(tx, record.state, record.updatedAt);
      return record;
    });
  }

  /**
   * Decides an event and carries out what follows. A function is given the job as it is and returns the event, or
   * undefined for none; what it throws is thrown on. `actor` is the SPIFFE id of who caused it.
   * Errors: JOB_UNKNOWN, STORE_*, those of the condition.
   */
  apply(
    jobId: string,
    event: Application['event'],
    actor: string,
    options: ApplyOptions = {},
  ): Promise<JobRecord> {
    const urgent = typeof event !== 'function' && takesPermissionBack(event);
    return this.#applications.add(jobId, { ...options, event, actor }, { urgent });
  }

  /** Decides events one after the other, each on the state that the one before it left. */
  async #applyAll(
    tx: Transaction,
    jobId: string,
    applications: readonly Application[],
  ): Promise<readonly JobRecord[]> {
    for (const { condition } of applications) await condition?.(tx);
    const before = await existing(tx, jobId);
    const records: JobRecord[] = [];
    for (const { event, actor, comment } of applications) {
      const record = records.at(-1) ?? before;
      const decided = typeof event === 'function' ? event(record.state) : event;
      records.push(decided === undefined ? record : await this.#decide(tx, record, decided, actor, comment));
    }
    const after = records.at(-1) ?? before;
    if (after.state !== before.state) await updateJob(tx, after.state, after.updatedAt);
    return records;
  }

  /** Decides an event and carries out what follows; the caller stores the job. */
  async #decide(
    tx: Transaction,
    record: JobRecord,
    event: JobEvent,
    actor: string,
    comment?: string,
  ): Promise<JobRecord> {
    const decision: JobDecision = decide(record.state, event);
    const { state, effects } = decision;
    const changed = state !== record.state;
    const next = changed ? { ...record, state, updatedAt: this.#options.clock.now() } : record;
    const groups = grouped(effects);
    for (const group of groups) await this.#carryOut(tx, state, group, actor, comment);
    if (changed) this.#publish(tx, next);
    const told = groups.flatMap(({ participants }) => participants);
    afterCommit(tx, () => {
      if (told.length > 0) this.#options.commands.flush(told);
      for (const effect of effects) this.#onEffect(state, effect);
    });
    return next;
  }

  /** The part of an effect that belongs to the transaction. */
  async #carryOut(
    tx: Transaction,
    state: JobState,
    { effect, participants }: EffectGroup,
    actor: string,
    comment: string | undefined,
  ): Promise<void> {
    const { commands, registry, audit, clock, checkTimeoutMs, stopGraceMs } = this.#options;
    const context: CheckContext = this.#options;
    const jobId = state.id;
    switch (effect.type) {
      case 'check_job': {
        const { generation } = effect;
        const deadline = new Date(clock.now().getTime() + checkTimeoutMs);
        const digests = tokenDigests(state.spec, context);
        const command = checkJobCommand({
          jobId,
          generation,
          participants: digests,
          deadline,
          dryRun: false,
        });
        return commands.enqueue(tx, participants, command);
      }
      case 'permit_job':
        return commands.enqueue(tx, participants, permitJobCommand(jobId, effect.generation, effect.permit));
      case 'stop_job': {
        // A participant that was removed has no command log; its lease ends what it runs.
        const registered = participants.filter((participant) => registry.find(participant) !== undefined);
        const { generation, reasons } = effect;
        const command = stopJobCommand({ jobId, generation, graceMs: stopGraceMs, reasons });
        return commands.enqueue(tx, registered, command);
      }
      case 'audit':
        return audit.append(tx, {
          actor,
          action: effect.action,
          subject: jobId,
          decision: effect.decision,
          reasons: effect.reasons,
          ...(effect.action === 'job.admission' && { evidence: evidenceDigests(state.spec, context) }),
          ...(comment !== undefined && comment !== '' && { comment }),
        });
      default:
    }
  }

  #publish(tx: Transaction, record: JobRecord): void {
    const { id, phase, generation, reasons } = record.state;
    atCommit(tx, () => {
      if (isActive(record.state)) this.#active.set(id, record);
      else this.#active.delete(id);
    });
    afterCommit(tx, () => {
      const codes = reasons.map(({ code }) => code);
      this.#options.logger.info('job.changed', { job: id, phase, generation, reasons: codes });
      for (const listener of this.#listeners) listener(record);
    });
  }
}

function takesPermissionBack({ type }: JobEvent): boolean {
  return type === 'permission_lost' || type === 'stop_requested' || type === 'permit_refused';
}

async function existing(tx: Transaction, jobId: string): Promise<JobRecord> {
  const record = await selectJob(tx, jobId);
  if (record === undefined) throw refusal('JOB_UNKNOWN', { message: `There is no job ${jobId}.` });
  return record;
}

/** Effects that differ in nothing but the participant, as one. */
interface EffectGroup {
  readonly effect: JobEffect;
  readonly participants: readonly string[];
}

/** Groups the commands that are the same for many sites, so that each is written at once; the order stays. */
function grouped(effects: readonly JobEffect[]): readonly EffectGroup[] {
  const groups = new Map<unknown, { readonly effect: JobEffect; readonly participants: string[] }>();
  for (const effect of effects) {
    if (effect.type === 'permit_job' || effect.type === 'stop_job') {
      const { participant } = effect;
      const key = contentOf(effect);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { effect, participants: [participant] });
      else group.participants.push(participant);
    } else {
      const participants = effect.type === 'check_job' ? [...effect.participants] : [];
      groups.set(effect, { effect, participants });
    }
  }
  return [...groups.values()];
}

/** What a command says beside the participant; a permit names its job and generation. */
function contentOf(effect: Extract<JobEffect, { type: 'permit_job' | 'stop_job' }>): string {
  return effect.type === 'permit_job' ? effect.permit : JSON.stringify([effect.generation, effect.reasons]);
}
