import type { AuthorityRow } from './schema.js';
import type { Transaction } from './store.js';

/** Every CA of the federation, the oldest first. */
export function selectAuthorities(tx: Transaction): Promise<AuthorityRow[]> {
  return tx.selectFrom('authorities').selectAll().orderBy('number').execute();
}

/** Records a CA. */
export async function insertAuthority(tx: Transaction, row: AuthorityRow): Promise<void> {
  await tx.insertInto('authorities').values(row).execute();
}

/** Moves a CA to another stage. */
export async function updateAuthority(
  tx: Transaction,
  number: number,
  stage: AuthorityRow['stage'],
): Promise<void> {
  await tx.updateTable('authorities').set({ stage }).where('number', '=', number).execute();
}
