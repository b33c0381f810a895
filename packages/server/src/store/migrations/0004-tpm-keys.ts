import type { Kysely, Migration } from 'kysely';

/** The attestation keys of TPMs that participants have proven. */
export const tpmKeys: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createTable('tpm_keys')
      .addColumn('participant', 'text', (column) => column.primaryKey().notNull())
      .addColumn('attestation_key', 'text', (column) => column.notNull())
      .addColumn('endorsement_certificates', 'text', (column) => column.notNull())
      .execute();
  },
};
