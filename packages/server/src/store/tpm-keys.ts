import type { TpmKeyRow } from './schema.js';
import type { Transaction } from './store.js';

/** The keys that participants have proven. */
export function selectTpmKeys(tx: Transaction): Promise<TpmKeyRow[]> {
  return tx.selectFrom('tpm_keys').selectAll().execute();
}

/** Records the key that a participant has proven, instead of an earlier one. */
export async function replaceTpmKey(tx: Transaction, row: TpmKeyRow): Promise<void> {
  await deleteTpmKey(tx, row.participant);
  await tx.insertInto('tpm_keys').values(row).execute();
}

/** Deletes the key that a participant has proven. */
export async function deleteTpmKey(tx: Transaction, participant: string): Promise<void> {
  await tx.deleteFrom('tpm_keys').where('participant', '=', participant).execute();
}
