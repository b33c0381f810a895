import type { CertificateRow } from './schema.js';
import type { Transaction } from './store.js';

/** Records a certificate that the federation CA issued. */
export async function insertCertificate(tx: Transaction, row: CertificateRow): Promise<void> {
  await tx.insertInto('certificates').values(row).execute();
}

/** The certificate with a fingerprint (SHA-256, hex); undefined when the federation CA never issued it. */
export function findCertificate(tx: Transaction, fingerprint: string): Promise<CertificateRow | undefined> {
  return tx.selectFrom('certificates').selectAll().where('fingerprint', '=', fingerprint).executeTakeFirst();
}

/** Forgets certificates that expired before a time: TLS refuses them by itself. */
export async function deleteExpiredCertificates(tx: Transaction, before: Date): Promise<void> {
  await tx.deleteFrom('certificates').where('not_after', '<', before.getTime()).execute();
}
