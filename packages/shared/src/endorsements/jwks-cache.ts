import type { JSONWebKeySet } from 'jose';
import type { Clock } from '../clock.js';
import { refusal } from '../errors.js';
import { readJson } from '../evidence/encoded.js';
import { keySetSchema } from '../evidence/service-token/policy.js';
import type { CacheOutcome } from './cache.js';
import { readBody } from './vendor-service.js';

/** How key sets are fetched, and for how long they are kept. */
export interface JwksCacheOptions {
  readonly clock: Clock;
  readonly fetch?: typeof globalThis.fetch;
  /** How long a key set counts as fresh, ms. */
  readonly freshMs?: number;
  /** How long after that it still serves while no newer one can be had, ms: bounded, as keys are withdrawn too. */
  readonly staleMs?: number;
  /** How long to wait after a request before the next to the same address, ms. */
  readonly retryMs?: number;
  /** How long one request may take, ms. */
  readonly timeoutMs?: number;
  /** The longest answer that is read, bytes. */
  readonly maxBytes?: number;
  /** Is told how each question was answered. */
  readonly observe?: (outcome: CacheOutcome) => void;
}

/** Key sets of attestation services, by the addresses that the policy pins. */
export interface JwksCache {
  /**
   * The key set at an address. Callers at the same time share one request. Errors: ATTESTATION_DEFERRED when it cannot
   * be had, and none is at hand that is recent enough.
   */
  keysAt(uri: string): Promise<JSONWebKeySet>;
}

interface Entry {
  readonly keys?: JSONWebKeySet;
  readonly fetchedAt: number;
  readonly triedAt: number;
}

/** Makes a cache. It asks only for addresses that its caller names, which are the policy's: there are few of them. */
export function jwksCache(options: JwksCacheOptions): JwksCache {
  const { clock, fetch = globalThis.fetch, freshMs = 3_600_000, staleMs = 86_400_000 } = options;
  const { retryMs = 30_000, timeoutMs = 5_000, maxBytes = 256 * 1024, observe } = options;
  const entries = new Map<string, Entry>();
  const flights = new Map<string, Promise<JSONWebKeySet>>();

  function older(uri: string): JSONWebKeySet {
    const { keys, fetchedAt = -Infinity } = entries.get(uri) ?? {};
    const isUsable = keys !== undefined && clock.monotonic() < fetchedAt + freshMs + staleMs;
    observe?.(isUsable ? 'fallback' : 'failure');
    if (isUsable) return keys;
    throw refusal('ATTESTATION_DEFERRED', { message: `The keys at ${uri} could not be had.` });
  }

  async function renew(uri: string): Promise<JSONWebKeySet> {
    const triedAt = clock.monotonic();
    try {
      const keys = await download(uri);
      entries.set(uri, { keys, fetchedAt: triedAt, triedAt });
      observe?.('miss');
      return keys;
    } catch {
      entries.set(uri, { fetchedAt: -Infinity, ...entries.get(uri), triedAt });
      return older(uri);
    } finally {
      flights.delete(uri);
    }
  }

  async function download(uri: string): Promise<JSONWebKeySet> {
    const deadline = new AbortController();
    const timer = clock.schedule(timeoutMs, () => deadline.abort());
    try {
      const response = await fetch(uri, { signal: deadline.signal, redirect: 'error' });
      const bytes = response.status === 200 ? await readBody(response, maxBytes) : undefined;
      const keys = bytes === undefined ? undefined : readJson(bytes, keySetSchema, maxBytes);
      if (keys !== undefined) return keys;
      await response.body?.cancel();
      throw new Error(`the answer ${response.status} is no key set`);
    } finally {
      timer.cancel();
    }
  }

  return {
    async keysAt(uri) {
      const entry = entries.get(uri);
      const now = clock.monotonic();
      if (entry?.keys !== undefined && now < entry.fetchedAt + freshMs) {
        observe?.('hit');
        return entry.keys;
      }
      if (entry !== undefined && now < entry.triedAt + retryMs) return older(uri);
      const flight = flights.get(uri) ?? renew(uri);
      flights.set(uri, flight);
      return flight;
    },
  };
}
