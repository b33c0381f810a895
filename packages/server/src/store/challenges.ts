import type { ChallengeRow } from './schema.js';
import type { Transaction } from './store.js';

/** Adds a challenge. */
export async function insertChallenge(tx: Transaction, row: ChallengeRow): Promise<void> {
  await tx.insertInto('challenges').values(row).execute();
}

/** One challenge of a participant; undefined when it never was or was pruned. */
export function selectChallenge(
  tx: Transaction,
  participant: string,
  id: string,
): Promise<ChallengeRow | undefined> {
  return tx
    .selectFrom('challenges')
    .selectAll()
    .where('id', '=', id)
    .where('participant', '=', participant)
    .executeTakeFirst();
}

/** Marks a challenge as answered; false when it was before. */
export async function markAnswered(tx: Transaction, id: string, at: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('challenges')
    .set({ answered_at: at })
    .where('id', '=', id)
    .where('answered_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Deletes the challenges whose deadline passed before a time. */
export async function pruneChallenges(tx: Transaction, before: number): Promise<void> {
  await tx.deleteFrom('challenges').where('deadline', '<', before).execute();
}
