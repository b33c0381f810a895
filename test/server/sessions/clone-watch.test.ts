import { beforeEach, describe, expect, it } from '@jest/globals';
import { CloneWatch } from '@muster/server/sessions/clone-watch.js';

describe('the watch for clones', () => {
  let watch: CloneWatch;
  beforeEach(() => {
    watch = new CloneWatch();
  });

  const greets = (bootId: string, lastEpoch = 0n, participant = 'site-1'): boolean =>
    watch.greets(participant, { bootId, lastEpoch });

  it('takes a process that comes back, however often, for itself', () => {
    expect([greets('a'), greets('a'), greets('a')]).toEqual([false, false, false]);
  });

  it('takes a restart for what it is', () => {
    expect([greets('a'), greets('b'), greets('c')]).toEqual([false, false, false]);
  });

  it('notices the process that was there before the latest', () => {
    expect([greets('a'), greets('b'), greets('a')]).toEqual([false, false, true]);
  });

  it('remembers the process of an earlier run of the server', () => {
    watch.remember('site-1', 'a');
    expect([greets('b'), greets('a')]).toEqual([false, true]);
  });

  it('notices a process that does not know the session which it has used', () => {
    greets('a');
    watch.uses('site-1', 5);
    watch.uses('site-1', 3);
    expect(greets('a', 5n)).toBe(false);
    expect(greets('a', 4n)).toBe(true);
    expect(greets('b', 0n)).toBe(false);
  });

  it('keeps participants apart, and forgets those that are gone', () => {
    greets('a');
    greets('b');
    watch.uses('site-2', 5);
    expect(greets('a', 0n, 'site-2')).toBe(false);
    watch.forget('site-1');
    expect(greets('a')).toBe(false);
  });
});
