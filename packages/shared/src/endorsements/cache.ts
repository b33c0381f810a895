import type { Clock } from '../clock.js';
import { MusterError } from '../errors.js';
import type { EndorsementQuery } from '../evidence/appraisal.js';
import type { Endorsement, EndorsementStore } from './endorsement.js';
import { queryKey } from './resolve.js';

/** Whose endorsement it is. */
export type VendorName = EndorsementQuery['vendor'];

/**
 * How a query was answered: from memory, from memory while a newer answer is asked for, by asking, by something older
 * because asking failed, or not at all.
 */
export type CacheOutcome = 'hit' | 'stale' | 'miss' | 'fallback' | 'failure';

/** Where answers outlast the process. Neither call rejects: a shelf that fails is an empty one. */
export interface Shelf {
  read(
    query: EndorsementQuery,
  ): Promise<{ readonly found: Endorsement; readonly storedAt: Date } | undefined>;
  write(query: EndorsementQuery, found: Endorsement): Promise<void>;
}

/** How much is kept, and for how long. */
export interface CacheOptions {
  readonly clock: Clock;
  /** Entries; the least recently used one makes room. */
  readonly maxEntries?: number;
  /** How long the knowledge lasts that a place does not have something, or has something that is doubted, ms. */
  readonly negativeMs?: number;
  /**
   * How long a revocation list or document counts as fresh, ms. Vendors date the next one far ahead, and a revocation
   * should not wait for it; while no newer one can be had, an older one serves until its nextUpdate.
   */
  readonly updateMs?: number;
  /** How long after that an answer still serves at once, while a newer one is asked for in the background, ms. */
  readonly staleMs?: number;
  /** How long after a failure until the same is asked for again, ms, unless the vendor said so. */
  readonly retryMs?: number;
  readonly shelf?: Shelf;
  /** Is told how each query was answered. */
  readonly observe?: (vendor: VendorName, outcome: CacheOutcome) => void;
}

/** A store that remembers. */
export interface EndorsementCache extends Required<EndorsementStore> {
  /** How many answers of a vendor are kept, and how long ago the oldest of them was given, ms. */
  statistics(vendor: VendorName): { readonly entries: number; readonly oldestMs: number };
}

interface Entry {
  readonly vendor: VendorName;
  readonly found: Endorsement | undefined;
  readonly storedAt: number;
  readonly freshUntil: number;
  readonly usableUntil: number;
  /** Evidence was refused with it: once it is not fresh, a newer one is waited for. */
  readonly isDoubted?: boolean;
  /** What asking last ended in, and until when on the monotonic clock it is not tried again. */
  readonly failure?: { readonly error: MusterError; readonly until: number };
}

/**
 * Remembers a store's answers: certificates until they expire, revocation lists until their nextUpdate, and for a
 * short time what is not there, what failed, and what evidence was refused with: an answer can be readable and wrong.
 * Equal queries at the same time make one request.
 */
export function cached(store: EndorsementStore, options: CacheOptions): EndorsementCache {
  const { clock, maxEntries = 1024, negativeMs = 300_000, retryMs = 10_000, shelf, observe } = options;
  const { updateMs = 86_400_000, staleMs = updateMs / 4 } = options;
  const entries = new Map<string, Entry>();
  const flights = new Map<string, Promise<Endorsement | undefined>>();
  const now = (): number => clock.now().getTime();

  function remember(query: EndorsementQuery, found: Endorsement | undefined, storedAt: number): Entry {
    const usableUntil = found?.expiresAt.getTime() ?? storedAt + negativeMs;
    const freshUntil =
      query.kind === 'certificates' ? usableUntil : Math.min(usableUntil, storedAt + updateMs);
    return keep(queryKey(query), { vendor: query.vendor, found, storedAt, freshUntil, usableUntil });
  }

  function keep(key: string, entry: Entry): Entry {
    entries.delete(key);
    entries.set(key, entry);
    const [oldest] = entries.keys();
    if (entries.size > maxEntries && oldest !== undefined) entries.delete(oldest);
    return entry;
  }

  async function recall(from: Shelf, query: EndorsementQuery): Promise<Entry | undefined> {
    const shelved = await from.read(query);
    const known = entries.get(queryKey(query));
    if (known !== undefined || shelved === undefined) return known;
    return remember(query, shelved.found, Math.min(shelved.storedAt.getTime(), now()));
  }

  async function request(query: EndorsementQuery): Promise<Endorsement | undefined> {
    const key = queryKey(query);
    try {
      const failure = entries.get(key)?.failure;
      const leftMs = (failure?.until ?? 0) - clock.monotonic();
      if (failure !== undefined && leftMs > 0) throw again(failure.error, leftMs);
      const found = await store.fetch(query);
      remember(query, found, now());
      if (found !== undefined) await shelf?.write(query, found);
      observe?.(query.vendor, 'miss');
      return found;
    } catch (error) {
      if (!(error instanceof MusterError)) throw error;
      const older = entries.get(key) ?? nothing(query.vendor);
      const until = clock.monotonic() + (error.retryAfterMs ?? retryMs);
      keep(key, { ...older, failure: { error, until } });
      const isUsable = older.found !== undefined && now() < older.usableUntil;
      observe?.(query.vendor, isUsable ? 'fallback' : 'failure');
      if (isUsable) return older.found;
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
      const entry = entries.get(key) ?? (shelf && (await recall(shelf, query)));
      if (entry !== undefined && now() < entry.freshUntil) {
        keep(key, entry);
        observe?.(query.vendor, 'hit');
        return entry.found;
      }
      const flight = flights.get(key) ?? depart(query);
      const isServed = entry !== undefined && entry.isDoubted !== true;
      if (isServed && now() < Math.min(entry.freshUntil + staleMs, entry.usableUntil)) {
        flight.catch(() => undefined);
        observe?.(query.vendor, 'stale');
        return entry.found;
      }
      return signal === undefined ? flight : Promise.race([flight, abortion(signal)]);
    },
    doubt(query) {
      const key = queryKey(query);
      const entry = entries.get(key);
      if (entry?.found === undefined) return;
      const freshUntil = Math.min(entry.freshUntil, entry.storedAt + negativeMs);
      entries.set(key, { ...entry, freshUntil, isDoubted: true });
    },
    statistics(vendor) {
      const held = [...entries.values()].filter(
        (entry) => entry.vendor === vendor && entry.found !== undefined,
      );
      const oldest = Math.min(now(), ...held.map(({ storedAt }) => storedAt));
      return { entries: held.length, oldestMs: now() - oldest };
    },
  };
}

function nothing(vendor: VendorName): Entry {
  return { vendor, found: undefined, storedAt: 0, freshUntil: 0, usableUntil: 0 };
}

/** A failure that is remembered, with the time that is left to wait. */
function again(error: MusterError, retryAfterMs: number): MusterError {
  return new MusterError(error.reasons, { cause: error, retryAfterMs });
}

/** Rejects when the signal is aborted: one caller gives up, while the request serves the others. */
function abortion(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
