import { beforeEach, describe, expect, it } from '@jest/globals';
import { Grouped, type Work } from '@muster/server/store/grouped.js';
import type { Store, Transaction } from '@muster/server/store/store.js';
import fc from 'fast-check';
import { memoryStore } from '../../support/store.js';

let store: Store;
/** How many transactions have begun. */
let transactions: number;
/** What the store answers with after a transaction's work. */
let failure: Error | undefined;
let grouped: Grouped<string>;

beforeEach(async () => {
  const memory = await memoryStore();
  transactions = 0;
  failure = undefined;
  store = {
    ...memory,
    transaction: (work) =>
      memory.transaction(async (tx) => {
        transactions += 1;
        const result = await work(tx);
        if (failure !== undefined) throw failure;
        return result;
      }),
  };
  grouped = new Grouped(store);
});

const insert = (tx: Transaction, key: string): Promise<unknown> =>
  tx.insertInto('settings').values({ key, value: '' }).execute();

/** A work that writes its name, and fails after that if asked to. */
const work = (key: string, name = key, fails = false): Work<string> => ({
  key,
  async run(tx) {
    await insert(tx, name);
    if (fails) throw new Error(`${name} fails`);
    return name;
  },
});

const written = async (): Promise<readonly string[]> => {
  const rows = await store.transaction((tx) => tx.selectFrom('settings').select('key').execute());
  return rows.map(({ key }) => key);
};

describe('works that come together', () => {
  it('share a transaction', async () => {
    const results = await Promise.all(['a', 'b', 'c'].map((key) => grouped.run(work(key))));
    expect(results).toEqual(['a', 'b', 'c']);
    expect(transactions).toBe(1);
  });

  it('share none when they have the same key, or are more than 32', async () => {
    await Promise.all([grouped.run(work('a', 'a1')), grouped.run(work('a', 'a2'))]);
    expect(transactions).toBe(2);
    await Promise.all(Array.from({ length: 33 }, (_, index) => grouped.run(work(`key-${index}`))));
    expect(transactions).toBe(4);
  });

  it('do not fail with one of them, of which nothing stays', async () => {
    const outcomes = await Promise.allSettled([
      grouped.run(work('a')),
      grouped.run(work('b', 'b', true)),
      grouped.run(work('c')),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await written()).toEqual(['a', 'c']);
  });

  it('all fail with the store, and are not run again', async () => {
    failure = new Error('the disk is full');
    const outcomes = await Promise.allSettled([grouped.run(work('a')), grouped.run(work('b'))]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(transactions).toBe(1);
    failure = undefined;
    expect(await grouped.run(work('a'))).toBe('a');
    expect(await written()).toEqual(['a']);
  });
});

it('runs the works of a key in order, whichever of them and of others fail', async () => {
  const works = fc.array(fc.record({ key: fc.constantFrom('a', 'b', 'c'), fails: fc.boolean() }), {
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(works, async (list) => {
      const queue = new Grouped<number>(store);
      const succeeded: number[] = [];
      await Promise.allSettled(
        list.map(({ key, fails }, index) =>
          queue
            .run({
              key,
              run: async () => {
                if (fails) throw new Error('fails');
                return index;
              },
            })
            .then((result) => succeeded.push(result)),
        ),
      );
      for (const key of ['a', 'b', 'c']) {
        const expected = list.flatMap((each, index) => (each.key === key && !each.fails ? [index] : []));
        expect(succeeded.filter((index) => list[index]?.key === key)).toEqual(expected);
      }
    }),
    { numRuns: 50 },
  );
});
