import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { LibsqlDialect } from '@muster/server/store/dialect.js';
import { initial } from '@muster/server/store/migrations/0001-initial.js';
import { migrations } from '@muster/server/store/migrations/index.js';
import { openSqliteStore } from '@muster/server/store/sqlite.js';
import { Kysely, Migrator, type Migration } from 'kysely';
import Database from 'libsql';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'muster-migrations-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (): Database.Database => new Database(join(directory, 'muster.db'));

/** Brings the database to the schema of some migrations, as the release that had only those did. */
async function migrateTo(wanted: Readonly<Record<string, Migration>>): Promise<unknown> {
  const database = open();
  try {
    const db = new Kysely<unknown>({ dialect: new LibsqlDialect(database) });
    const provider = { getMigrations: async () => ({ ...wanted }) };
    return (await new Migrator({ db, provider }).migrateToLatest()).error;
  } finally {
    database.close();
  }
}

/** A database of the first release, with a site that has enrolled and an operator. */
async function firstRelease(): Promise<void> {
  expect(await migrateTo({ '0001-initial': initial })).toBeUndefined();
  const database = open();
  database.exec(`
    insert into participants values
      ('site-1', 'site', 'a2V5', 1, 2, null, '[]', 7, 'boot', 3, '0.1.0', 4, 5);
    insert into certificates values ('01', 'site', 'site-1', 'f1', 1000, 9000000000000, null);
    insert into certificates values ('02', 'operator', 'olga', 'f2', 1000, 9000000000000, 2000);
    insert into settings values ('log_id', 'log-1');
  `);
  database.close();
}

describe('a database of the first release', () => {
  it('is brought to the present schema and keeps what is in it', async () => {
    await firstRelease();
    const store = await openSqliteStore(directory);
    const kept = await store.transaction(async (tx) => ({
      participants: await tx.selectFrom('participants').selectAll().execute(),
      certificates: await tx.selectFrom('certificates').selectAll().orderBy('serial').execute(),
      settings: await tx.selectFrom('settings').selectAll().execute(),
      authorities: await tx.selectFrom('authorities').selectAll().execute(),
    }));
    expect(kept).toMatchObject({
      participants: [{ name: 'site-1', public_key: 'a2V5', epoch: 7, last_seq: 4, trust_bundle: '' }],
      certificates: [
        { serial: '01', revoked_at: null, first_used_at: 1000, superseded_at: null, authority: 1 },
        { serial: '02', revoked_at: 2000, first_used_at: 1000, superseded_at: null, authority: 1 },
      ],
      settings: [{ key: 'log_id', value: 'log-1' }],
      authorities: [],
    });
    await store.close();
    await (await openSqliteStore(directory)).close();
  });

  it('stays as it was when the migration is interrupted, and is migrated the next time', async () => {
    await firstRelease();
    const { '0002-rotation': rotation, ...before } = migrations;
    const interrupted: Migration = {
      async up(db) {
        await rotation?.up(db);
        throw new Error('killed');
      },
    };
    expect(await migrateTo({ ...before, '0002-rotation': interrupted })).toMatchObject({ message: 'killed' });
    const database = open();
    const columns = database.pragma('table_info(certificates)') as { readonly name: string }[];
    expect(columns.map(({ name }) => name)).not.toContain('authority');
    expect(database.prepare("select name from sqlite_master where name = 'authorities'").all()).toEqual([]);
    database.close();
    const store = await openSqliteStore(directory);
    const rows = await store.transaction((tx) => tx.selectFrom('certificates').selectAll().execute());
    expect(rows).toHaveLength(2);
    await store.close();
  });

  it('is refused by the first release once it was migrated', async () => {
    await firstRelease();
    await (await openSqliteStore(directory)).close();
    expect(String(await migrateTo({ '0001-initial': initial }))).toContain('0002-rotation');
    expect(existsSync(join(directory, 'muster.db'))).toBe(true);
  });
});

it('migrations are applied in the order of their names', () => {
  const names = Object.keys(migrations);
  expect(names).toEqual(names.toSorted());
});
