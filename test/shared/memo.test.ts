import { memoized, perObject } from '@muster/shared/memo.js';
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';

describe('memoized', () => {
  const counting = (maxEntries: number): { recall: (n: number) => number; computed: number[] } => {
    const computed: number[] = [];
    const compute = (n: number): number => {
      computed.push(n);
      return n * n;
    };
    return { recall: memoized(compute, { keyOf: String, maxEntries }), computed };
  };

  it('computes once what is asked again', () => {
    const { recall, computed } = counting(2);
    expect([recall(3), recall(3), recall(3)]).toEqual([9, 9, 9]);
    expect(computed).toEqual([3]);
  });

  it('remembers that there is no result', () => {
    let calls = 0;
    const recall = memoized(() => void (calls += 1), { keyOf: String, maxEntries: 2 });
    recall('a');
    recall('a');
    expect(calls).toBe(1);
  });

  it('forgets the least recently used first', () => {
    const { recall, computed } = counting(2);
    [1, 2, 1, 3, 1, 2].forEach(recall);
    expect(computed).toEqual([1, 2, 3, 2]);
  });

  it('does not remember an exception', () => {
    let fails = true;
    const recall = memoized(
      () => {
        if (fails) throw new Error('not now');
        return 1;
      },
      { keyOf: String, maxEntries: 2 },
    );
    expect(() => recall('a')).toThrow('not now');
    fails = false;
    expect(recall('a')).toBe(1);
  });

  it('answers as the function itself, whatever is asked in whatever order', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 20 })), fc.integer({ min: 1, max: 10 }), (asked, maxEntries) => {
        const { recall } = counting(maxEntries);
        return asked.every((n) => recall(n) === n * n);
      }),
    );
  });
});

it('perObject computes once for each object, whatever else is equal', () => {
  let calls = 0;
  const sizeOf = perObject((items: readonly number[]) => {
    calls += 1;
    return items.length === 0 ? undefined : items.length;
  });
  const [first, second, none]: readonly (readonly number[])[] = [[1], [1], []];
  for (const items of [first, second, none, first, second, none]) if (items) sizeOf(items);
  expect(calls).toBe(3);
  expect(sizeOf([1, 2])).toBe(2);
});
