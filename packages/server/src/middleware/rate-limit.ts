import type { Clock } from '@muster/shared/clock.js';
import { MusterError } from '@muster/shared/errors.js';
import { reason } from '@muster/shared/reasons.js';

/** How many calls one key may make. */
export interface RateLimit {
  /** Calls a second, in the long run. */
  readonly rate: number;
  /** Calls at once, after a rest. */
  readonly burst: number;
}

/** Above this many keys the longest unused is forgotten, which favours no one: it has been refilled, or nearly. */
const maxKeys = 100_000;

interface Bucket {
  tokens: number;
  filledAt: number;
}

/** A token bucket for each key. */
export class RateLimiter {
  readonly #limit: RateLimit;
  readonly #clock: Clock;
  /** In the order of last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(limit: RateLimit, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** Counts a call. Errors: RATE_LIMITED, with the delay after which the next call fits. */
  take(key: string): void {
    const { rate, burst } = this.#limit;
    const now = this.#clock.monotonic();
    const bucket = this.#buckets.get(key) ?? { tokens: burst, filledAt: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.filledAt) / 1000) * rate);
    bucket.filledAt = now;
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > maxKeys) this.#forgetOldest();
    if (bucket.tokens < 1) {
      const retryAfterMs = Math.ceil(((1 - bucket.tokens) / rate) * 1000);
      throw new MusterError([reason('RATE_LIMITED')], { retryAfterMs });
    }
    bucket.tokens -= 1;
  }

  #forgetOldest(): void {
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}
