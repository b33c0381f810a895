import { sql } from 'kysely';
import { each } from './each.js';
import type { CommandRow } from './schema.js';
import { statement } from './statement.js';
import type { Transaction } from './store.js';

/** What the commands of one request have in common. */
export type CommandBatch = Pick<CommandRow, 'kind' | 'job_id' | 'generation' | 'created_at'>;

/** Adds unfinished commands, one for each participant. */
export async function insertCommands(
  tx: Transaction,
  batch: CommandBatch,
  rows: readonly Pick<CommandRow, 'participant' | 'seq' | 'id' | 'payload'>[],
): Promise<void> {
  const list = JSON.stringify(
    rows.map(({ participant, seq, id, payload }) => [participant, seq, id, payload]),
  );
  await insertList(tx, { ...batch, list });
}

const insertList = statement(
  (tx, { list, kind, job_id, generation, created_at }: CommandBatch & { readonly list: string }) =>
    tx
      .insertInto('commands')
      .columns(['participant', 'seq', 'id', 'payload', 'kind', 'job_id', 'generation', 'created_at'])
      .expression((eb) =>
        eb
          .selectFrom(each(list).as('entry'))
          .select([
            sql<string>`value ->> 0`.as('participant'),
            sql<number>`value ->> 1`.as('seq'),
            sql<string>`value ->> 2`.as('id'),
            sql<string>`value ->> 3`.as('payload'),
            sql<string>`${kind}`.as('kind'),
            sql<string | null>`${job_id}`.as('job_id'),
            sql<number | null>`${generation}`.as('generation'),
            sql<number>`${created_at}`.as('created_at'),
          ]),
      ),
);

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

/** Whether a command of a participant is on record. */
export async function hasCommand(tx: Transaction, participant: string, id: string): Promise<boolean> {
  const row = await tx
    .selectFrom('commands')
    .select('seq')
    .where('id', '=', id)
    .where('participant', '=', participant)
    .executeTakeFirst();
  return row !== undefined;
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
export async function selectUnfinishedPermits(
  tx: Transaction,
  participants: readonly string[],
  job: { readonly jobId: string; readonly generation: number },
): Promise<Pick<CommandRow, 'participant' | 'seq'>[]> {
  const { rows } = await selectPermits(tx, { ...job, names: JSON.stringify(participants) });
  return rows;
}

const selectPermits = statement(
  (tx, { names, jobId, generation }: { names: string; jobId: string; generation: number }) =>
    tx
      .selectFrom('commands')
      .select(['participant', 'seq'])
      .where('participant', 'in', (eb) => eb.selectFrom(each(names).as('entry')).select('value'))
      .where('outcome', 'is', null)
      .where('kind', '=', 'permitJob')
      .where('job_id', '=', jobId)
      .where('generation', '<=', generation),
);

/** How many commands to all participants are not finished. */
export async function countUnfinished(tx: Transaction): Promise<number> {
  const { count } = await tx
    .selectFrom('commands')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('outcome', 'is', null)
    .executeTakeFirstOrThrow();
  return count;
}
