import type { TokenRow } from './schema.js';
import type { Transaction } from './store.js';

/** Every token, by participant and namespace. */
export function selectTokens(tx: Transaction): Promise<TokenRow[]> {
  return tx.selectFrom('tokens').selectAll().orderBy('participant').orderBy('namespace').execute();
}

/** Puts these tokens in the place of all that a participant had. */
export async function replaceTokens(
  tx: Transaction,
  participant: string,
  rows: readonly TokenRow[],
): Promise<void> {
  await tx.deleteFrom('tokens').where('participant', '=', participant).execute();
  if (rows.length > 0)
    await tx
      .insertInto('tokens')
      .values([...rows])
      .execute();
}
