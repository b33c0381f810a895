import { sql, type Kysely, type Migration } from 'kysely';

/** Several CAs with an overlap, and certificates that replace each other. */
export const rotation: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createTable('authorities')
      .addColumn('number', 'integer', (column) => column.primaryKey().notNull())
      .addColumn('stage', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .execute();
    for (const column of ['first_used_at', 'superseded_at']) {
      await db.schema.alterTable('certificates').addColumn(column, 'bigint').execute();
    }
    await db.schema
      .alterTable('certificates')
      .addColumn('authority', 'integer', (column) => column.notNull().defaultTo(1))
      .execute();
    // What was issued before may have been used, and replaces nothing.
    await sql`update certificates set first_used_at = issued_at`.execute(db);
    await db.schema
      .createIndex('certificates_by_revocation')
      .on('certificates')
      .column('revoked_at')
      .execute();
    await db.schema
      .alterTable('participants')
      .addColumn('trust_bundle', 'text', (column) => column.notNull().defaultTo(''))
      .execute();
  },
};
