import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { backoffMs } from '@muster/agent/backoff.js';

describe('the backoff', () => {
  it.each([
    [0, 1_000],
    [1, 2_000],
    [4, 16_000],
    [5, 30_000],
    [1_000, 30_000],
  ])('after %i failures is below %i ms', (failures, bound) => {
    expect(backoffMs(failures, 0)).toBe(0);
    expect(backoffMs(failures, 0.5)).toBe(bound / 2);
  });

  it('is never shorter than the server asks for', () => {
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.nat(100), random, fc.nat(60_000), (failures, chance, retryAfterMs) => {
        const delay = backoffMs(failures, chance, retryAfterMs);
        expect(delay).toBeGreaterThanOrEqual(retryAfterMs);
        expect(delay).toBeLessThanOrEqual(retryAfterMs + 30_000);
      }),
    );
  });
});
