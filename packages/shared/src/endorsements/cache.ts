import type { Clock } from '../clock.js';
import type { EndorsementQuery } from '../evidence/appraisal.js';
import type { Endorsement, EndorsementStore } from './endorsement.js';
import { queryKey } from './resolve.js';

/** How much is kept, and for how long. */
export interface CacheOptions {
  readonly clock: Clock;
  /** Entries; the least recently used one makes room. */
  readonly maxEntries?: number;
  /** How long the knowledge lasts that a place does not have something, ms. */
  readonly negativeMs?: number;
  /**
   * How long a revocation list or document counts as fresh, ms. Vendors date the next one far ahead, and a revocation
   * should not wait for it; while no newer one can be had, an older one serves until its nextUpdate.
   */
  readonly updateMs?: number;
}

interface Entry {
  readonly found: Endorsement | undefined;
  readonly freshUntil: number;
  readonly usableUntil: number;
}

/**
 * Remembers a store's answers: certificates until they expire, revocation lists until their nextUpdate, and for a
 * short time what is not there. Equal queries at the same time make one request; failures are not remembered.
 */
export function cached(store: EndorsementStore, options: CacheOptions): EndorsementStore {
  const { clock, maxEntries = 1024, negativeMs = 300_000, updateMs = 86_400_000 } = options;
  const entries = new Map<string, Entry>();
  const flights = new Map<string, Promise<Endorsement | undefined>>();

  function remember(query: EndorsementQuery, found: Endorsement | undefined): void {
    const now = clock.now().getTime();
    const usableUntil = found?.expiresAt.getTime() ?? now + negativeMs;
    const freshUntil = query.kind === 'certificates' ? usableUntil : Math.min(usableUntil, now + updateMs);
    const key = queryKey(query);
    entries.delete(key);
    entries.set(key, { found, freshUntil, usableUntil });
    const [oldest] = entries.keys();
    if (entries.size > maxEntries && oldest !== undefined) entries.delete(oldest);
  }

  async function request(query: EndorsementQuery): Promise<Endorsement | undefined> {
    try {
      const found = await store.fetch(query);
      remember(query, found);
      return found;
    } catch (error) {
      const older = entries.get(queryKey(query));
      if (older?.found !== undefined && clock.now().getTime() < older.usableUntil) return older.found;
      throw error;
    }
  }

  function depart(query: EndorsementQuery): Promise<Endorsement | undefined> {
    const key = queryKey(query);
    const flight = request(query).finally(() => flights.delete(key));
    flights.set(key, flight);
    return flight;
  }

  return {
    async fetch(query, signal) {
      signal?.throwIfAborted();
      const key = queryKey(query);
      const entry = entries.get(key);
      if (entry !== undefined && clock.now().getTime() < entry.freshUntil) {
        entries.delete(key);
        entries.set(key, entry);
        return entry.found;
      }
      const flight = flights.get(key) ?? depart(query);
      return signal === undefined ? flight : Promise.race([flight, abortion(signal)]);
    },
  };
}

/** Rejects when the signal is aborted: one caller gives up, while the request serves the others. */
function abortion(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
