import type { Selectable } from 'kysely';
import type { JobPhase, JobState } from '../admission/job-state.js';
import type { JobRow } from './schema.js';
import type { Transaction } from './store.js';

/** A job as the store keeps it. */
export interface JobRecord {
  readonly state: JobState;
  /** Orders jobs by submission. */
  readonly position: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The phases in which something may happen to a job without anybody asking for it. */
const activePhases: readonly JobPhase[] = ['checking', 'admitted', 'running', 'stopping'];

/** Whether a job is being checked, or may have processes somewhere. */
export function isActive({ phase }: JobState): boolean {
  return activePhases.includes(phase);
}

/** Registers a job; undefined when its id is taken. */
export async function insertJob(tx: Transaction, state: JobState, at: Date): Promise<JobRecord | undefined> {
  const now = at.getTime();
  const row = await tx
    .insertInto('jobs')
    .values({
      id: state.id,
      phase: state.phase,
      state: JSON.stringify(state),
      created_at: now,
      updated_at: now,
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returningAll()
    .executeTakeFirst();
  return row && toRecord(row);
}

/** How many jobs there are in each phase; phases without one are left out. */
export async function countJobs(tx: Transaction): Promise<ReadonlyMap<string, number>> {
  const rows = await tx
    .selectFrom('jobs')
    .select((eb) => ['phase', eb.fn.countAll<number>().as('count')])
    .groupBy('phase')
    .execute();
  return new Map(rows.map(({ phase, count }) => [phase, count]));
}

/** One job; undefined when there is none of that id. */
export async function selectJob(tx: Transaction, id: string): Promise<JobRecord | undefined> {
  const row = await tx.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toRecord(row);
}

/** Replaces a job's state. */
export async function updateJob(tx: Transaction, state: JobState, at: Date): Promise<void> {
  await tx
    .updateTable('jobs')
    .set({ phase: state.phase, state: JSON.stringify(state), updated_at: at.getTime() })
    .where('id', '=', state.id)
    .execute();
}

/** Every job that is active, in order of submission. */
export async function selectActiveJobs(tx: Transaction): Promise<JobRecord[]> {
  const rows = await tx
    .selectFrom('jobs')
    .selectAll()
    .where('phase', 'in', activePhases)
    .orderBy('position')
    .execute();
  return rows.map(toRecord);
}

/** Which jobs: those in a phase, those submitted before the one at a position; at most `limit`. */
export interface JobQuery {
  readonly phase?: JobPhase;
  readonly before?: number;
  readonly limit: number;
}

/** Jobs, newest first. */
export async function selectJobs(tx: Transaction, { phase, before, limit }: JobQuery): Promise<JobRecord[]> {
  const rows = await tx
    .selectFrom('jobs')
    .selectAll()
    .$if(phase !== undefined, (select) => select.where('phase', '=', phase ?? ''))
    .$if(before !== undefined, (select) => select.where('position', '<', before ?? 0))
    .orderBy('position', 'desc')
    .limit(limit)
    .execute();
  return rows.map(toRecord);
}

function toRecord(row: Selectable<JobRow>): JobRecord {
  return {
    state: JSON.parse(row.state) as JobState,
    position: row.position,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  };
}
