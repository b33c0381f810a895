import { emptyChain, type ChainHead } from '@muster/shared/audit/chain.js';
import type { AuditRow } from './schema.js';
import type { Transaction } from './store.js';

/** The last record of the audit log. */
export async function auditHead(tx: Transaction): Promise<ChainHead> {
  const row = await tx
    .selectFrom('audit')
    .select(['seq', 'hash'])
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row ?? emptyChain;
}

/** Appends a record. */
export async function insertAuditRecord(tx: Transaction, row: AuditRow): Promise<void> {
  await tx.insertInto('audit').values(row).execute();
}

/** Records in order, from a number on. */
export function listAuditRecords(tx: Transaction, fromSeq: number, limit: number): Promise<AuditRow[]> {
  return tx.selectFrom('audit').selectAll().where('seq', '>=', fromSeq).orderBy('seq').limit(limit).execute();
}
