import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { refusal } from '@muster/shared/errors.js';
import { Batches } from '@muster/server/store/batches.js';
import { readSetting, writeSetting } from '@muster/server/store/settings.js';
import type { Store, Transaction } from '@muster/server/store/store.js';
import { memoryStore } from '../../support/store.js';

let store: Store;
/** The items of each transaction that was begun. */
let begun: (readonly string[])[];

/** Writes down what came, and refuses `bad`. */
async function work(tx: Transaction, key: string, items: readonly string[]): Promise<readonly string[]> {
  begun.push(items);
  for (const item of items) {
    await writeSetting(tx, key, `${(await readSetting(tx, key)) ?? ''}${item}`);
    if (item === 'bad') throw refusal('JOB_STATE');
  }
  return items.map((item) => item.toUpperCase());
}

const written = (key: string): Promise<string | undefined> => store.transaction((tx) => readSetting(tx, key));

beforeEach(async () => {
  store = await memoryStore();
  begun = [];
});
afterEach(() => store.close());

describe('a batch', () => {
  it('works in one transaction on what comes at the same time, in order, and answers each', async () => {
    const batches = new Batches(store, work);
    const answers = await Promise.all(['a', 'b', 'c'].map((item) => batches.add('key', item)));
    expect(answers).toEqual(['A', 'B', 'C']);
    expect(begun).toEqual([['a', 'b', 'c']]);
    expect(await written('key')).toBe('abc');
  });

  it('takes in what comes while it waits for its turn, and nothing after that', async () => {
    const batches = new Batches(store, work);
    let release = (): void => undefined;
    const busy = store.transaction(() => new Promise<void>((resolve) => (release = resolve)));
    const first = batches.add('key', 'a');
    await new Promise((resolve) => setImmediate(resolve));
    const second = batches.add('key', 'b');
    release();
    await Promise.all([busy, first, second]);
    await batches.add('key', 'c');
    expect(begun).toEqual([['a', 'b'], ['c']]);
  });

  it('begins before all that waits when one of its items is urgent, and leaves those before it their order', async () => {
    const batches = new Batches(store, work);
    let release = (): void => undefined;
    const busy = store.transaction(() => new Promise<void>((resolve) => (release = resolve)));
    const others = [batches.add('other', 'x'), batches.add('key', 'a')];
    await new Promise((resolve) => setImmediate(resolve));
    const urgent = batches.add('key', 'b', { urgent: true });
    await new Promise((resolve) => setImmediate(resolve));
    release();
    expect(await Promise.all([busy, ...others, urgent])).toEqual([undefined, 'X', 'A', 'B']);
    expect(begun).toEqual([['a', 'b'], ['x']]);
  });

  it('holds items of one key', async () => {
    const batches = new Batches(store, work);
    await Promise.all([batches.add('one', 'a'), batches.add('two', 'b'), batches.add('one', 'c')]);
    expect(begun).toEqual([['a', 'c'], ['b']]);
  });

  it('that fails leaves nothing, and each of its items has another try alone', async () => {
    const batches = new Batches(store, work);
    const outcomes = await Promise.allSettled(['a', 'bad', 'c'].map((item) => batches.add('key', item)));
    expect(outcomes).toMatchObject([
      { value: 'A' },
      { status: 'rejected', reason: { code: 'JOB_STATE' } },
      { value: 'C' },
    ]);
    expect(begun).toEqual([['a', 'bad', 'c'], ['a'], ['bad'], ['c']]);
    expect(await written('key')).toBe('ac');
  });

  it('rejects all of its items when no transaction can begin', async () => {
    const batches = new Batches(store, work);
    await store.close();
    const outcomes = await Promise.allSettled(['a', 'b'].map((item) => batches.add('key', item)));
    expect(outcomes).toMatchObject([
      { reason: { code: 'STORE_UNAVAILABLE' } },
      { reason: { code: 'STORE_UNAVAILABLE' } },
    ]);
    expect(begun).toEqual([]);
  });
});
