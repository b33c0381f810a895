import type { Transaction } from './store.js';

/** One setting; undefined when it was never written. */
export async function readSetting(tx: Transaction, key: string): Promise<string | undefined> {
  const row = await tx.selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst();
  return row?.value;
}

/** Writes a setting. */
export async function writeSetting(tx: Transaction, key: string, value: string): Promise<void> {
  await tx
    .insertInto('settings')
    .values({ key, value })
    .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
    .execute();
}
