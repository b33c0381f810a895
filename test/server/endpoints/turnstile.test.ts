import { describe, expect, it } from '@jest/globals';
import { Turnstile } from '@muster/server/endpoints/turnstile.js';
import fc from 'fast-check';
import { until } from '../../support/until.js';

interface Item {
  readonly group: string;
  readonly number: number;
}

/** Has items of groups pass, all there at once, and returns them in the order in which they did. */
async function passed(groups: readonly string[], gapMs: number): Promise<(Item & { readonly at: number })[]> {
  const order: (Item & { readonly at: number })[] = [];
  const turnstile = new Turnstile<Item>(gapMs, (item) => order.push({ ...item, at: performance.now() }));
  for (const [number, group] of groups.entries()) turnstile.add(group, { group, number });
  expect(order).toEqual([]);
  await until(() => order.length >= groups.length);
  return order;
}

describe('a turnstile', () => {
  it('lets every item pass once, a group in its order, and no group twice before another that waits', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 }), async (groups) => {
        const order = await passed(groups, 0);
        expect(order.map(({ number }) => number).toSorted((a, b) => a - b)).toEqual([...groups.keys()]);
        const seen = new Map<string, Item[]>();
        for (const item of order) seen.set(item.group, [...(seen.get(item.group) ?? []), item]);
        for (const items of seen.values()) {
          expect(items).toEqual(items.toSorted((a, b) => a.number - b.number));
        }
        for (const [turn, { group }] of order.entries()) {
          const next = order.findIndex((item, index) => index > turn && item.group === group);
          const left = order.slice(turn + 1).map((item) => item.group);
          const between = order.slice(turn + 1, next).map((item) => item.group);
          if (next > 0) expect(new Set(between)).toEqual(new Set(left.filter((other) => other !== group)));
        }
      }),
      { numRuns: 50 },
    );
  });

  it('leaves a gap between them', async () => {
    const order = await passed(['a', 'b', 'a'], 5);
    const gaps = order.slice(1).map(({ at }, index) => at - (order[index]?.at ?? 0));
    for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(5);
  });

  it('goes on with what comes later', async () => {
    const order: number[] = [];
    const turnstile = new Turnstile<number>(0, (item) => order.push(item));
    turnstile.add('a', 1);
    await until(() => order.length === 1);
    turnstile.add('a', 2);
    await until(() => order.length === 2);
    expect(order).toEqual([1, 2]);
  });
});
