import type { Clock } from '../clock.js';
import type { Endorsement, EndorsementStore } from './endorsement.js';
import { queryKey } from './resolve.js';

/** How long an answer counts, and how many are kept. */
export interface RecentOptions {
  readonly clock: Clock;
  /** On the monotonic clock, ms. */
  readonly forMs?: number;
  /** The oldest one makes room. */
  readonly maxEntries?: number;
}

interface Answer {
  readonly found: Endorsement | undefined;
  readonly until: number;
}

/**
 * Remembers what a store at hand, such as a directory, had and had not for some seconds: what many sites need at the same
 * time is read once, and what is put there is seen soon. A failure is not remembered.
 */
export function recent(
  store: EndorsementStore,
  { clock, forMs = 5_000, maxEntries = 1024 }: RecentOptions,
): EndorsementStore {
  const answers = new Map<string, Answer>();
  return {
    async fetch(query, signal) {
      const key = queryKey(query);
      const known = answers.get(key);
      if (known !== undefined && clock.monotonic() < known.until) return known.found;
      const found = await store.fetch(query, signal);
      answers.delete(key);
      answers.set(key, { found, until: clock.monotonic() + forMs });
      const [oldest] = answers.keys();
      if (answers.size > maxEntries && oldest !== undefined) answers.delete(oldest);
      return found;
    },
  };
}
