import type { Kysely, Migration } from 'kysely';

/** Challenges are in the memory of the process that hands them out. */
export const challengesInMemory: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema.dropTable('challenges').execute();
  },
};
