import { expect, it } from '@jest/globals';
import type { Endorsement, EndorsementStore } from '@muster/shared/endorsements/endorsement.js';
import { recent } from '@muster/shared/endorsements/recent.js';
import type { EndorsementQuery } from '@muster/shared/evidence/appraisal.js';
import { FakeClock } from '../../support/fake-clock.js';

const query = (path: string): EndorsementQuery => ({ vendor: 'amd', kind: 'crl', path });
const answer = (byte: number): Endorsement => ({ items: [Uint8Array.of(byte)], expiresAt: new Date(0) });

/** A store whose answers can be changed, and that counts how often it is asked. */
class Shelf implements EndorsementStore {
  asked = 0;
  found: Endorsement | undefined;
  failure: Error | undefined;

  async fetch(): Promise<Endorsement | undefined> {
    this.asked += 1;
    if (this.failure !== undefined) throw this.failure;
    return this.found;
  }
}

it('gives the same answer for five seconds, and then looks again', async () => {
  const [clock, shelf] = [new FakeClock(), new Shelf()];
  const store = recent(shelf, { clock });
  expect(await store.fetch(query('a'))).toBeUndefined();
  shelf.found = answer(1);
  await clock.advance(4_999);
  expect(await store.fetch(query('a'))).toBeUndefined();
  expect(await store.fetch(query('b'))).toEqual(answer(1));
  await clock.advance(1);
  expect(await store.fetch(query('a'))).toEqual(answer(1));
  expect(shelf.asked).toBe(3);
});

it('looks again after a failure', async () => {
  const shelf = new Shelf();
  const store = recent(shelf, { clock: new FakeClock() });
  shelf.failure = new Error('not readable');
  await expect(store.fetch(query('a'))).rejects.toThrow('not readable');
  shelf.failure = undefined;
  shelf.found = answer(1);
  expect(await store.fetch(query('a'))).toEqual(answer(1));
});

it('keeps a bounded number of answers', async () => {
  const shelf = new Shelf();
  const store = recent(shelf, { clock: new FakeClock(), maxEntries: 2 });
  for (const path of ['a', 'b', 'c', 'b', 'a']) await store.fetch(query(path));
  expect(shelf.asked).toBe(4);
});
