import type { CertificateRow } from './schema.js';
import type { Transaction } from './store.js';

/** Whose certificates. */
export type Subject = Pick<CertificateRow, 'role' | 'name'>;

/** Records a certificate that the federation CA issued. */
export async function insertCertificate(tx: Transaction, row: CertificateRow): Promise<void> {
  await tx.insertInto('certificates').values(row).execute();
}

/** The certificate with a fingerprint (SHA-256, hex); undefined when the federation CA never issued it. */
export function findCertificate(tx: Transaction, fingerprint: string): Promise<CertificateRow | undefined> {
  return tx.selectFrom('certificates').selectAll().where('fingerprint', '=', fingerprint).executeTakeFirst();
}

/** The certificates that are accepted at a time, by subject and age. */
export function selectAcceptedCertificates(tx: Transaction, at: Date): Promise<CertificateRow[]> {
  return tx
    .selectFrom('certificates')
    .selectAll()
    .where('not_after', '>', at.getTime())
    .where('revoked_at', 'is', null)
    .where('superseded_at', 'is', null)
    .orderBy('role')
    .orderBy('name')
    .orderBy('issued_at')
    .execute();
}

/** The serial numbers, hex, of the revoked certificates that are on record. */
export async function selectRevokedSerials(tx: Transaction): Promise<readonly string[]> {
  const rows = await tx
    .selectFrom('certificates')
    .select('serial')
    .where('revoked_at', 'is not', null)
    .execute();
  return rows.map(({ serial }) => serial);
}

/** Records the first use of a certificate. */
export async function markCertificateUsed(tx: Transaction, serial: string, at: number): Promise<void> {
  await tx.updateTable('certificates').set({ first_used_at: at }).where('serial', '=', serial).execute();
}

/** Retires the certificates of a subject that were issued before a time. */
export async function supersedeCertificates(
  tx: Transaction,
  { role, name }: Subject,
  issuedBefore: number,
  at: number,
): Promise<void> {
  await tx
    .updateTable('certificates')
    .set({ superseded_at: at })
    .where('role', '=', role)
    .where('name', '=', name)
    .where('issued_at', '<', issuedBefore)
    .where('superseded_at', 'is', null)
    .execute();
}

/** Revokes the certificates of a subject, or the one of a serial number; returns how many that were. */
export async function revokeCertificates(
  tx: Transaction,
  { role, name, serial }: Subject & { readonly serial?: string },
  at: number,
): Promise<number> {
  const { numUpdatedRows } = await tx
    .updateTable('certificates')
    .set({ revoked_at: at })
    .where('role', '=', role)
    .where('name', '=', name)
    .where('revoked_at', 'is', null)
    .$if(serial !== undefined, (query) => query.where('serial', '=', serial ?? ''))
    .executeTakeFirst();
  return Number(numUpdatedRows);
}

/** Forgets certificates that expired before a time: TLS refuses them by itself. */
export async function deleteExpiredCertificates(tx: Transaction, before: Date): Promise<void> {
  await tx.deleteFrom('certificates').where('not_after', '<', before.getTime()).execute();
}
