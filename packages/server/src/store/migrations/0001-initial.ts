import type { Kysely, Migration } from 'kysely';

/** The first schema: every table of schema.ts. */
export const initial: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createTable('participants')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('role', 'text', (column) => column.notNull())
      .addColumn('public_key', 'text')
      .addColumn('invited_at', 'bigint', (column) => column.notNull())
      .addColumn('enrolled_at', 'bigint')
      .addColumn('quarantine', 'text')
      .addColumn('last_reasons', 'text', (column) => column.notNull())
      .addColumn('epoch', 'bigint', (column) => column.notNull())
      .addColumn('boot_id', 'text')
      .addColumn('last_seen_at', 'bigint')
      .addColumn('agent_version', 'text', (column) => column.notNull())
      .addColumn('last_seq', 'bigint', (column) => column.notNull())
      .addColumn('finished_seq', 'bigint', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('certificates')
      .addColumn('serial', 'text', (column) => column.primaryKey().notNull())
      .addColumn('role', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('fingerprint', 'text', (column) => column.notNull().unique())
      .addColumn('issued_at', 'bigint', (column) => column.notNull())
      .addColumn('not_after', 'bigint', (column) => column.notNull())
      .addColumn('revoked_at', 'bigint')
      .execute();
    await db.schema
      .createIndex('certificates_by_owner')
      .on('certificates')
      .columns(['role', 'name'])
      .execute();
    await db.schema.createIndex('certificates_by_expiry').on('certificates').column('not_after').execute();
    await db.schema
      .createTable('join_tokens')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('participant', 'text', (column) => column.notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('expires_at', 'bigint', (column) => column.notNull())
      .addColumn('used_at', 'bigint')
      .addColumn('used_by', 'text')
      .execute();
    await db.schema
      .createIndex('join_tokens_by_participant')
      .on('join_tokens')
      .column('participant')
      .execute();
    await db.schema
      .createTable('challenges')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('participant', 'text', (column) => column.notNull())
      .addColumn('nonce', 'text', (column) => column.notNull())
      .addColumn('namespaces', 'text', (column) => column.notNull())
      .addColumn('public_key', 'text', (column) => column.notNull())
      .addColumn('deadline', 'bigint', (column) => column.notNull())
      .addColumn('answered_at', 'bigint')
      .execute();
    await db.schema.createIndex('challenges_by_deadline').on('challenges').column('deadline').execute();
    await db.schema
      .createTable('tokens')
      .addColumn('participant', 'text', (column) => column.notNull())
      .addColumn('namespace', 'text', (column) => column.notNull())
      .addColumn('jws', 'text', (column) => column.notNull())
      .addColumn('issued_at', 'bigint', (column) => column.notNull())
      .addColumn('expires_at', 'bigint', (column) => column.notNull())
      .addColumn('appraised_at', 'bigint', (column) => column.notNull())
      .addColumn('appraisal', 'text', (column) => column.notNull())
      .addColumn('ear', 'text', (column) => column.notNull())
      .addColumn('evidence_digest', 'text', (column) => column.notNull())
      .addColumn('endorsements', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('tokens_key', ['participant', 'namespace'])
      .execute();
    await db.schema
      .createTable('jobs')
      .addColumn('position', 'integer', (column) => column.primaryKey().autoIncrement())
      .addColumn('id', 'text', (column) => column.notNull().unique())
      .addColumn('phase', 'text', (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('updated_at', 'bigint', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('commands')
      .addColumn('participant', 'text', (column) => column.notNull())
      .addColumn('seq', 'bigint', (column) => column.notNull())
      .addColumn('id', 'text', (column) => column.notNull().unique())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('job_id', 'text')
      .addColumn('generation', 'bigint')
      .addColumn('payload', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('outcome', 'text')
      .addColumn('outcome_reasons', 'text')
      .addColumn('finished_at', 'bigint')
      .addPrimaryKeyConstraint('commands_key', ['participant', 'seq'])
      .execute();
    await db.schema
      .createTable('audit')
      .addColumn('seq', 'bigint', (column) => column.primaryKey().notNull())
      .addColumn('content', 'text', (column) => column.notNull())
      .addColumn('hash', 'text', (column) => column.notNull())
      .addColumn('previous_hash', 'text', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('settings')
      .addColumn('key', 'text', (column) => column.primaryKey().notNull())
      .addColumn('value', 'text', (column) => column.notNull())
      .execute();
  },
};
