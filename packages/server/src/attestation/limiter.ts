import { MusterError } from '@muster/shared/errors.js';
import { reason } from '@muster/shared/reasons.js';

/** Runs work with bounded concurrency; what is too much waits in order, and what is too much for that is refused. */
export type Limiter = <T>(work: () => Promise<T>) => Promise<T>;

/** Makes a limiter. Errors of its calls: RATE_LIMITED when `maxWaiting` calls wait already; those of the work. */
export function limiter(maxRunning: number, maxWaiting = Infinity): Limiter {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running >= maxRunning) {
      if (waiting.length >= maxWaiting)
        throw new MusterError([reason('RATE_LIMITED')], { retryAfterMs: 1000 });
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else {
      running += 1;
    }
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
