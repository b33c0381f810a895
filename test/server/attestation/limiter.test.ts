import { describe, expect, it } from '@jest/globals';
import { limiter } from '@muster/server/attestation/limiter.js';

describe('a limiter', () => {
  it('runs so many at a time, lets so many wait in order, and refuses the rest', async () => {
    const limited = limiter(1, 2);
    const started: number[] = [];
    const releases: (() => void)[] = [];
    const run = (id: number): Promise<void> =>
      limited(async () => {
        started.push(id);
        await new Promise<void>((resolve) => releases.push(resolve));
      });
    const running = [run(1), run(2), run(3)];
    await expect(run(4)).rejects.toMatchObject({ code: 'RATE_LIMITED', retryAfterMs: 1000 });
    expect(started).toEqual([1]);
    for (const [index, each] of running.entries()) {
      releases[index]?.();
      await each;
    }
    expect(started).toEqual([1, 2, 3]);
  });

  it('goes on after work that failed', async () => {
    const limited = limiter(1);
    await expect(limited(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    expect(await limited(async () => 'done')).toBe('done');
  });
});
