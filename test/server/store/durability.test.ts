import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { afterCommit, atCommit } from '@muster/server/store/after-commit.js';
import { openSqliteStore } from '@muster/server/store/sqlite.js';
import { Turns } from '@muster/server/store/turns.js';
import { WalSync } from '@muster/server/store/wal-sync.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'muster-durability-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('the effects of transactions', () => {
  it('change memory before the next transaction begins, and leave the process in the order of commits', async () => {
    const store = await openSqliteStore(directory);
    const seen: string[] = [];
    const write = (name: string): Promise<unknown> =>
      store.transaction(async (tx) => {
        seen.push(`${name} begins`);
        await tx.insertInto('settings').values({ key: name, value: '' }).execute();
        atCommit(tx, () => void seen.push(`${name} in memory`));
        afterCommit(tx, () => void seen.push(`${name} out`));
      });
    await Promise.all([write('a'), write('b'), write('c')]);
    await store.close();
    const inside = seen.filter((entry) => !entry.endsWith('out'));
    const order = ['a', 'b', 'c'];
    expect(inside).toEqual(order.flatMap((name) => [`${name} begins`, `${name} in memory`]));
    expect(seen.filter((entry) => entry.endsWith('out'))).toEqual(order.map((name) => `${name} out`));
  });

  it('do not follow a rollback', async () => {
    const store = await openSqliteStore(directory);
    const seen: string[] = [];
    const failed = store.transaction(async (tx) => {
      atCommit(tx, () => void seen.push('in memory'));
      afterCommit(tx, () => void seen.push('out'));
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    await store.close();
    expect(seen).toEqual([]);
  });

  it('are refused by a store that is closed', async () => {
    const store = await openSqliteStore(directory);
    await store.close();
    await expect(store.transaction(async () => 1)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });
});

describe('urgent transactions', () => {
  it('begin before others that wait, and what can wait is told when they are over', async () => {
    const store = await openSqliteStore(directory);
    const seen: string[] = [];
    const write = (name: string, urgent = false): Promise<unknown> =>
      store.transaction(
        async (tx) => {
          await tx.insertInto('settings').values({ key: name, value: '' }).execute();
          afterCommit(tx, () => void seen.push(name));
        },
        { urgent },
      );
    await store.calm();
    const writes = [write('a'), write('b'), write('c', true), write('d', true)];
    await store.calm();
    expect(seen).toEqual(['a', 'c', 'd']);
    await Promise.all(writes);
    expect(seen).toEqual(['a', 'c', 'd', 'b']);
    await store.close();
  });

  it('that fail keep nobody waiting', async () => {
    const store = await openSqliteStore(directory);
    const failed = store.transaction(() => Promise.reject(new Error('no')), { urgent: true });
    await Promise.all([expect(failed).rejects.toThrow('no'), store.calm()]);
    await store.close();
  });
});

describe('the synchronisation of the log', () => {
  const open = async (): Promise<WalSync> => {
    writeFileSync(join(directory, 'db-wal'), '');
    return WalSync.open(join(directory, 'db'));
  };

  it('is there for every commit before it, however many wait', async () => {
    const sync = await open();
    const waiting = Array.from({ length: 50 }, () => {
      sync.committed();
      return sync.durable();
    });
    await Promise.all(waiting);
    await sync.durable();
    await sync.close();
  });

  it('fails for ever once it has failed: nobody knows what the disk holds', async () => {
    const sync = await open();
    await sync.durable();
    sync.committed();
    await sync.close();
    await expect(sync.durable()).rejects.toThrow();
    await expect(sync.durable()).rejects.toThrow();
    sync.committed();
    await expect(sync.durable()).rejects.toThrow();
  });
});

describe('turns', () => {
  it('follow each other in order, also after one that failed', async () => {
    const turns = new Turns();
    const seen: number[] = [];
    const take = (n: number): Promise<void> =>
      turns.take(async () => {
        await Promise.resolve();
        seen.push(n);
        if (n === 2) throw new Error('no');
      });
    const outcomes = await Promise.allSettled([1, 2, 3].map(take));
    expect(seen).toEqual([1, 2, 3]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });
});

describe('a long transaction', () => {
  it('lets the event loop have its turn', async () => {
    const store = await openSqliteStore(directory);
    let timers = 0;
    const timer = setInterval(() => (timers += 1), 1);
    await store.transaction(async (tx) => {
      for (let key = 0; key < 1_000; key += 1) {
        await tx
          .insertInto('settings')
          .values({ key: String(key), value: '' })
          .execute();
      }
    });
    clearInterval(timer);
    await store.close();
    expect(timers).toBeGreaterThan(2);
  });
});
