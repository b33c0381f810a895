import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openSqliteStore } from '@muster/server/store/sqlite.js';
import type { Store } from '@muster/server/store/store.js';
import { sql } from 'kysely';
import Database from 'libsql';

let directory: string;
const opened: Store[] = [];

async function open(purpose?: 'administration'): Promise<Store> {
  const store = await openSqliteStore(directory, purpose);
  opened.push(store);
  return store;
}

const setting = (store: Store, key: string): Promise<string | undefined> =>
  store.transaction(async (tx) => {
    const row = await tx.selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst();
    return row?.value;
  });
const put = (store: Store, key: string, value: string): Promise<unknown> =>
  store.transaction((tx) => tx.insertInto('settings').values({ key, value }).execute());
const file = (): string => join(directory, 'muster.db');

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'muster-store-'));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
  rmSync(directory, { recursive: true, force: true });
});

describe('a store', () => {
  it('keeps what a transaction committed, also across a restart', async () => {
    const store = await open();
    await put(store, 'log_id', 'a');
    await opened.pop()?.close();
    expect(await setting(await open(), 'log_id')).toBe('a');
  });

  it('forgets what a rejected transaction wrote, and rejects with the same error', async () => {
    const store = await open();
    const failure = new Error('no');
    const attempt = store.transaction(async (tx) => {
      await tx.insertInto('settings').values({ key: 'a', value: 'b' }).execute();
      throw failure;
    });
    await expect(attempt).rejects.toBe(failure);
    expect(await setting(store, 'a')).toBeUndefined();
  });

  it('runs transactions one after the other', async () => {
    const store = await open();
    await put(store, 'n', '0');
    const increment = (): Promise<unknown> =>
      store.transaction(async (tx) => {
        const { value } = await tx.selectFrom('settings').select('value').executeTakeFirstOrThrow();
        await tx
          .updateTable('settings')
          .set({ value: String(Number(value) + 1) })
          .execute();
      });
    await Promise.all(Array.from({ length: 20 }, increment));
    expect(await setting(store, 'n')).toBe('20');
  });

  it('is readable by its owner only', async () => {
    await put(await open(), 'a', 'b');
    for (const name of ['muster.db', 'muster.db-wal', 'server.lock']) {
      expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    }
  });

  it('gives a job its place by submission', async () => {
    const store = await open();
    const positions = await store.transaction(async (tx) => {
      const job = { phase: 'submitted', state: '{}', created_at: 1, updated_at: 1 };
      await tx
        .insertInto('jobs')
        .values([
          { id: 'b', ...job },
          { id: 'a', ...job },
        ])
        .execute();
      return tx.selectFrom('jobs').select('id').orderBy('position').execute();
    });
    expect(positions.map(({ id }) => id)).toEqual(['b', 'a']);
  });

  it('serves one server and administration beside it', async () => {
    const store = await open();
    await expect(openSqliteStore(directory)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    const beside = await open('administration');
    await put(beside, 'a', 'b');
    expect(await setting(store, 'a')).toBe('b');
  });
});

describe('a damaged or unusable data directory is refused and left as it was', () => {
  it('when the file is no database', async () => {
    const garbage = Buffer.alloc(8192, 7);
    writeFileSync(file(), garbage);
    await expect(open()).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
    expect(readFileSync(file()).equals(garbage)).toBe(true);
  });

  it('when pages inside it are damaged', async () => {
    const store = await open();
    await store.transaction(async (tx) => {
      for (let n = 0; n < 200; n += 1) {
        await tx
          .insertInto('settings')
          .values({ key: `k${n}`, value: 'x'.repeat(500) })
          .execute();
      }
    });
    await opened.pop()?.close();
    const bytes = readFileSync(file());
    bytes.fill(0xff, bytes.length - 40_000, bytes.length - 20_000);
    writeFileSync(file(), bytes);
    await expect(open()).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
    expect(readFileSync(file()).equals(bytes)).toBe(true);
  });

  it('when the file was emptied', async () => {
    await open();
    await opened.pop()?.close();
    truncateSync(file(), 0);
    await expect(open()).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
    expect(statSync(file()).size).toBe(0);
  });

  it('when a newer release wrote it', async () => {
    await open();
    await opened.pop()?.close();
    const database = new Database(file());
    database.exec("insert into kysely_migration values ('9999-later', '2030-01-01T00:00:00Z')");
    database.close();
    await expect(open()).rejects.toMatchObject({ code: 'STORE_NEWER_SCHEMA' });
  });

  it('when it cannot be made', async () => {
    writeFileSync(join(directory, 'file'), '');
    await expect(openSqliteStore(join(directory, 'file', 'data'))).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
    });
  });

  it('when the database is a directory', async () => {
    mkdirSync(file());
    await expect(open()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });
});

describe('a full disk', () => {
  it('refuses what does not fit and keeps what was there', async () => {
    const store = await open();
    await put(store, 'a', 'b');
    await store.transaction((tx) => sql`pragma max_page_count = 1`.execute(tx));
    const large = put(store, 'large', 'x'.repeat(1024 * 1024));
    await expect(large).rejects.toMatchObject({ code: 'STORE_FULL' });
    expect(await setting(store, 'a')).toBe('b');
    await expect(put(store, 'large', 'x'.repeat(1024 * 1024))).rejects.toMatchObject({ code: 'STORE_FULL' });
  });
});
