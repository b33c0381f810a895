import { sql, type Kysely, type Migration } from 'kysely';

/** Finished commands are kept for a day; what is unfinished is looked for with every command that is sent or acknowledged. */
export const unfinishedCommands: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createIndex('commands_unfinished')
      .on('commands')
      .columns(['participant', 'seq'])
      .where(sql.ref('outcome'), 'is', null)
      .execute();
  },
};
