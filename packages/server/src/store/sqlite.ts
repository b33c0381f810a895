import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { Kysely, Migrator, sql } from 'kysely';
import { refusal } from '@muster/shared/errors.js';
import { runAfterCommit } from './after-commit.js';
import { LibsqlDialect } from './dialect.js';
import { storeError } from './errors.js';
import { migrations } from './migrations/index.js';
import type { Schema } from './schema.js';
import type { Store } from './store.js';

const databaseFile = 'muster.db';
const lockFile = 'server.lock';
/** How long a statement waits for a lock that another process holds, ms; it blocks this process meanwhile. */
const busyTimeoutMs = 2000;

/**
 * Opens the store of a data directory, which is made if need be, and brings its schema up to date. As `server` it holds
 * the directory's lock until it is closed or the process ends; as `administration` it works beside a server.
 * Errors: STORE_CORRUPT, STORE_FULL, STORE_NEWER_SCHEMA, STORE_UNAVAILABLE; nothing is overwritten.
 */
export async function openSqliteStore(
  dataDirectory: string,
  purpose: 'server' | 'administration' = 'server',
): Promise<Store> {
  const opened: Database.Database[] = [];
  try {
    mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
    if (purpose === 'server') opened.push(lock(dataDirectory));
    const database = open(join(dataDirectory, databaseFile));
    opened.push(database);
    return await storeOver(database, () => {
      database.pragma('wal_checkpoint(truncate)');
      opened.toReversed().forEach((each) => each.close());
    });
  } catch (error) {
    opened.toReversed().forEach((each) => each.close());
    throw storeError(error);
  }
}

/** A store over an open database, whose schema is brought up to date. Errors: STORE_NEWER_SCHEMA, STORE_CORRUPT. */
export async function storeOver(
  database: Database.Database,
  close: () => void = () => database.close(),
): Promise<Store> {
  const db = new Kysely<Schema>({ dialect: new LibsqlDialect(database) });
  await migrate(db);
  return {
    async transaction(work) {
      try {
        const { tx, result } = await db.transaction().execute(async (tx) => ({ tx, result: await work(tx) }));
        runAfterCommit(tx);
        return result;
      } catch (error) {
        throw storeError(error);
      }
    },
    async close() {
      // Not `destroy`: the connection is the caller's, and work that is under way ends first.
      await db.connection().execute(async () => close());
    },
  };
}

/** Holds the exclusive lock of a second, empty database: the kernel ends it with the process, however that ends. */
function lock(dataDirectory: string): Database.Database {
  const file = join(dataDirectory, lockFile);
  closeSync(openSync(file, 'a', 0o600));
  const database = new Database(file);
  try {
    database.exec('begin exclusive');
    return database;
  } catch (cause) {
    database.close();
    throw refusal('STORE_UNAVAILABLE', { message: `Another server uses ${dataDirectory}.` }, cause);
  }
}

function open(file: string): Database.Database {
  if (existsSync(file) && statSync(file).size === 0) {
    throw refusal('STORE_CORRUPT', { message: `${file} is empty; a database never is.` });
  }
  closeSync(openSync(file, 'a', 0o600));
  chmodSync(file, 0o600);
  const database = new Database(file);
  try {
    database.pragma(`busy_timeout = ${busyTimeoutMs}`);
    const [check] = database.pragma('quick_check(1)') as { readonly quick_check?: string }[];
    if (check?.quick_check !== 'ok') throw refusal('STORE_CORRUPT', { message: `${file} is damaged.` });
    database.pragma('journal_mode = wal');
    database.pragma('synchronous = full');
    database.pragma('foreign_keys = on');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

async function migrate(db: Kysely<Schema>): Promise<void> {
  const applied = await appliedMigrations(db);
  const unknown = applied.find((name) => migrations[name] === undefined);
  if (unknown !== undefined) {
    throw refusal('STORE_NEWER_SCHEMA', { message: `The database has the unknown migration ${unknown}.` });
  }
  if (applied.length === Object.keys(migrations).length) return;
  const provider = { getMigrations: async () => ({ ...migrations }) };
  const { error } = await new Migrator({ db, provider }).migrateToLatest();
  if (error !== undefined) throw error;
}

async function appliedMigrations(db: Kysely<Schema>): Promise<readonly string[]> {
  const tables = await sql`select 1 from sqlite_master where name = 'kysely_migration'`.execute(db);
  if (tables.rows.length === 0) return [];
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  return rows.map(({ name }) => name);
}
