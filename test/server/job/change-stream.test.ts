import { describe, expect, it } from '@jest/globals';
import { changeStream } from '@muster/server/services/change-stream.js';

type Thing = readonly [key: string, version: number];

function source(things: readonly Thing[], duringSnapshot: readonly Thing[] = []) {
  const listeners = new Set<(thing: Thing) => void>();
  const change = (thing: Thing): void => listeners.forEach((listener) => listener(thing));
  return {
    change,
    listeners,
    async *snapshot(): AsyncGenerator<Thing> {
      duringSnapshot.forEach(change);
      yield* things;
    },
    subscribe(listener: (thing: Thing) => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    keyOf: ([key]: Thing) => key,
  };
}

describe('a stream of changes', () => {
  it('never sends an older version after a newer one', async () => {
    const stream = changeStream(
      source(
        [
          ['a', 2],
          ['b', 1],
        ],
        [
          ['a', 1],
          ['a', 2],
        ],
      ),
      new AbortController().signal,
    );
    const sent = [];
    for (let count = 0; count < 3; count += 1) sent.push((await stream.next()).value);
    expect(sent).toEqual([
      ['b', 1],
      ['a', 1],
      ['a', 2],
    ]);
  });

  it('refuses a caller that reads too slowly, instead of keeping everything for it', async () => {
    const things = source([['a', 0]]);
    const stream = changeStream(things, new AbortController().signal);
    await stream.next();
    for (let version = 1; version <= 2_000; version += 1) things.change(['a', version]);
    await expect(stream.next()).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    expect(things.listeners.size).toBe(0);
  });
});
