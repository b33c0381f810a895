import { emptyChain, type ChainHead } from '@muster/shared/audit/chain.js';
import type { AuditRow } from './schema.js';
import { statement } from './statement.js';
import type { Transaction } from './store.js';

/** The last record of the audit log. */
export async function auditHead(tx: Transaction): Promise<ChainHead> {
  const { rows } = await selectHead(tx, {});
  return rows[0] ?? emptyChain;
}

const selectHead = statement((tx) =>
  tx.selectFrom('audit').select(['seq', 'hash']).orderBy('seq', 'desc').limit(1),
);

/** Appends a record. */
export async function insertAuditRecord(tx: Transaction, row: AuditRow): Promise<void> {
  await insertRecord(tx, row);
}

const insertRecord = statement((tx, { seq, content, hash, previous_hash }: AuditRow) =>
  tx.insertInto('audit').values({ seq, content, hash, previous_hash }),
);

/** Records in order, from a number on. */
export function listAuditRecords(tx: Transaction, fromSeq: number, limit: number): Promise<AuditRow[]> {
  return tx.selectFrom('audit').selectAll().where('seq', '>=', fromSeq).orderBy('seq').limit(limit).execute();
}
