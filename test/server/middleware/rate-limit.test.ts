import { describe, expect, it } from '@jest/globals';
import { RateLimiter } from '@muster/server/middleware/rate-limit.js';
import type { MusterError } from '@muster/shared/errors.js';
import fc from 'fast-check';
import { FakeClock } from '../../support/fake-clock.js';

function take(limiter: RateLimiter, key: string): MusterError | undefined {
  try {
    limiter.take(key);
    return undefined;
  } catch (error) {
    return error as MusterError;
  }
}

describe('a rate limit', () => {
  it('lets a burst through, then refuses with the delay after which a call fits', async () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter({ rate: 2, burst: 3 }, clock);
    for (let n = 0; n < 3; n += 1) expect(take(limiter, 'a')).toBeUndefined();
    const refused = take(limiter, 'a');
    expect(refused).toMatchObject({ code: 'RATE_LIMITED', retryAfterMs: 500 });
    await clock.advance(499);
    expect(take(limiter, 'a')).toBeDefined();
    await clock.advance(1);
    expect(take(limiter, 'a')).toBeUndefined();
  });

  it('counts each key by itself', () => {
    const limiter = new RateLimiter({ rate: 1, burst: 1 }, new FakeClock());
    expect(take(limiter, 'a')).toBeUndefined();
    expect(take(limiter, 'b')).toBeUndefined();
    expect(take(limiter, 'a')).toBeDefined();
  });

  it('never lets through more than burst and rate allow', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.nat(2000), { maxLength: 30 }),
        async (rate, burst, pauses) => {
          const clock = new FakeClock();
          const limiter = new RateLimiter({ rate, burst }, clock);
          let passed = 0;
          for (const pause of pauses) {
            await clock.advance(pause);
            for (let n = 0; n < 30; n += 1) if (take(limiter, 'a') === undefined) passed += 1;
          }
          expect(passed).toBeLessThanOrEqual(burst + (rate * clock.monotonic()) / 1000 + 1e-6);
        },
      ),
      { numRuns: 20 },
    );
  });
});
