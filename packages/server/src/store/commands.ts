import type { CommandRow } from './schema.js';
import type { Transaction } from './store.js';

/** Adds commands, at least one. */
export async function insertCommands(tx: Transaction, rows: readonly CommandRow[]): Promise<void> {
  await tx
    .insertInto('commands')
    .values([...rows])
    .execute();
}

/** The commands of a participant that are not finished, in order. */
export function selectUnfinished(tx: Transaction, participant: string): Promise<CommandRow[]> {
  return tx
    .selectFrom('commands')
    .selectAll()
    .where('participant', '=', participant)
    .where('outcome', 'is', null)
    .orderBy('seq')
    .execute();
}

/** Records what became of a command; false when that is known already. */
export async function finishCommand(
  tx: Transaction,
  participant: string,
  seq: number,
  result: { readonly outcome: string; readonly reasons: string; readonly at: number },
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('commands')
    .set({ outcome: result.outcome, outcome_reasons: result.reasons, finished_at: result.at })
    .where('participant', '=', participant)
    .where('seq', '=', seq)
    .where('outcome', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Moves the participant's cursor over every finished command that follows it without a gap. */
export async function advanceCursor(tx: Transaction, participant: string): Promise<void> {
  const first = await tx
    .selectFrom('commands')
    .select('seq')
    .where('participant', '=', participant)
    .where('outcome', 'is', null)
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst();
  await tx
    .updateTable('participants')
    .set((eb) => ({ finished_seq: first === undefined ? eb.ref('last_seq') : first.seq - 1 }))
    .where('name', '=', participant)
    .execute();
}

/** Deletes the commands of a participant that were finished before a time. */
export async function pruneCommands(tx: Transaction, participant: string, before: number): Promise<void> {
  await tx
    .deleteFrom('commands')
    .where('participant', '=', participant)
    .where('finished_at', '<', before)
    .execute();
}

/** The unfinished permits of a job up to a generation, to some participants. */
export function selectUnfinishedPermits(
  tx: Transaction,
  participants: readonly string[],
  job: { readonly jobId: string; readonly generation: number },
): Promise<Pick<CommandRow, 'participant' | 'seq'>[]> {
  return tx
    .selectFrom('commands')
    .select(['participant', 'seq'])
    .where('participant', 'in', participants)
    .where('kind', '=', 'permitJob')
    .where('job_id', '=', job.jobId)
    .where('generation', '<=', job.generation)
    .where('outcome', 'is', null)
    .execute();
}

/** How many commands to all participants are not finished. */
export async function countUnfinished(tx: Transaction): Promise<number> {
  const { count } = await tx
    .selectFrom('commands')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('outcome', 'is', null)
    .executeTakeFirstOrThrow();
  return count;
}
