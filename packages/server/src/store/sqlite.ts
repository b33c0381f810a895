import { chmodSync, closeSync, existsSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { Kysely, Migrator, sql } from 'kysely';
import { refusal } from '@muster/shared/errors.js';
import { requireWritableFolder } from '@muster/shared/files.js';
import { Pace } from '@muster/shared/pace.js';
import { runEffects } from './after-commit.js';
import { LibsqlDialect } from './dialect.js';
import { storeError } from './errors.js';
import { migrations } from './migrations/index.js';
import type { Schema } from './schema.js';
import type { Store, Transaction } from './store.js';
import { Turns } from './turns.js';
import { Urgency } from './urgency.js';
import { WalSync } from './wal-sync.js';

const databaseFile = 'muster.db';
const lockFile = 'server.lock';
/** How long a statement waits for a lock that another process holds, ms; it blocks this process meanwhile. */
const busyTimeoutMs = 2000;

/**
 * Opens the store of a data directory, which is made if need be, and brings its schema up to date. As `server` it holds
 * the directory's lock until it is closed or the process ends; as `administration` it works beside a server.
 * Errors: FILE_UNWRITABLE, STORE_CORRUPT, STORE_FULL, STORE_NEWER_SCHEMA, STORE_UNAVAILABLE; nothing is overwritten.
 */
export async function openSqliteStore(
  dataDirectory: string,
  purpose: 'server' | 'administration' = 'server',
): Promise<Store> {
  requireWritableFolder(dataDirectory, 'data_directory');
  const opened: { close(): unknown }[] = [];
  const closeAll = async (): Promise<void> => {
    for (const each of opened.toReversed()) await each.close();
  };
  try {
    if (purpose === 'server') opened.push(lock(dataDirectory));
    const file = join(dataDirectory, databaseFile);
    const database = open(file);
    opened.push(database);
    const sync = await WalSync.open(file);
    opened.push(sync);
    const close = async (): Promise<void> => {
      database.pragma('wal_checkpoint(truncate)');
      await closeAll();
    };
    return await storeOver(database, { sync, close });
  } catch (error) {
    await closeAll();
    throw storeError(error);
  }
}

/** How a store makes commits durable, and how it ends. */
interface StoreParts {
  /** Absent where a commit is as durable as it gets, such as in memory. */
  readonly sync?: WalSync;
  readonly close?: () => void | Promise<void>;
}

/** A store over an open database, whose schema is brought up to date. Errors: STORE_NEWER_SCHEMA, STORE_CORRUPT. */
export async function storeOver(
  database: Database.Database,
  { sync, close = () => void database.close() }: StoreParts = {},
): Promise<Store> {
  const pace = new Pace();
  const db = new Kysely<Schema>({ dialect: new LibsqlDialect(database, pace) });
  await migrate(db);
  sync?.committed();
  const turns = new Turns(() => pace.begin());
  const totalChanges = database.prepare('select total_changes()').pluck();
  // One synchronisation can answer hundreds of callers, who have a turn of the event loop for every few.
  const answerPace = new Pace();
  const answers = new Turns(() => answerPace.begin());
  const urgency = new Urgency();
  let closed = false;
  const run = async <T>(
    work: (tx: Transaction) => Promise<T>,
  ): Promise<{ readonly tx: Transaction; readonly result: T }> => {
    if (closed) throw refusal('STORE_UNAVAILABLE', { message: 'The store is closed.' });
    const before = totalChanges.get();
    const done = await db.transaction().execute(async (tx) => ({ tx, result: await work(tx) }));
    if (totalChanges.get() !== before) sync?.committed();
    runEffects(done.tx, 'atCommit');
    return done;
  };
  return {
    calm: () => urgency.over(),
    async transaction(work, { urgent = false } = {}) {
      if (urgent) urgency.began();
      try {
        const { tx, result } = await turns.take(() => run(work), { urgent });
        await sync?.durable();
        await answers.take(() => answerPace.step());
        runEffects(tx, 'afterCommit');
        return result;
      } catch (error) {
        throw storeError(error);
      } finally {
        if (urgent) urgency.ended();
      }
    },
    close: () =>
      turns.take(async () => {
        closed = true;
        try {
          await sync?.durable();
        } finally {
          await close();
        }
      }),
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
    // Commits are made durable by WalSync; SQLite itself sees to the order of log and database.
    database.pragma('synchronous = normal');
    database.pragma('foreign_keys = on');
    // The first read makes the write-ahead log.
    database.pragma('user_version');
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
