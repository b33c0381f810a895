import type { JoinTokenRow } from './schema.js';
import type { Transaction } from './store.js';

/** Adds a join token. */
export async function insertJoinToken(
  tx: Transaction,
  row: Pick<JoinTokenRow, 'hash' | 'participant' | 'kind' | 'expires_at'>,
): Promise<void> {
  await tx
    .insertInto('join_tokens')
    .values({ ...row, used_at: null, used_by: null })
    .execute();
}

/** The join token with a hash; undefined when there is none. */
export function selectJoinToken(tx: Transaction, hash: string): Promise<JoinTokenRow | undefined> {
  return tx.selectFrom('join_tokens').selectAll().where('hash', '=', hash).executeTakeFirst();
}

/** Records who used a join token; false when it was used before. */
export async function markJoinTokenUsed(
  tx: Transaction,
  hash: string,
  usedBy: string,
  at: Date,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('join_tokens')
    .set({ used_at: at.getTime(), used_by: usedBy })
    .where('hash', '=', hash)
    .where('used_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Deletes a participant's unused rejoin tokens: the use of one ends the others. */
export async function deleteUnusedRejoinTokens(tx: Transaction, participant: string): Promise<void> {
  await tx
    .deleteFrom('join_tokens')
    .where('participant', '=', participant)
    .where('kind', '=', 'rejoin')
    .where('used_at', 'is', null)
    .execute();
}

/** Forgets tokens that expired before a time. */
export async function deleteExpiredJoinTokens(tx: Transaction, before: Date): Promise<void> {
  await tx.deleteFrom('join_tokens').where('expires_at', '<', before.getTime()).execute();
}
