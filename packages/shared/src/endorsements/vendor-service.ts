import { sleep, type Clock } from '../clock.js';
import { MusterError } from '../errors.js';
import type { EndorsementQuery } from '../evidence/appraisal.js';
import type { Endorsement, EndorsementStore } from './endorsement.js';
import { deferral } from './resolve.js';

/** How a vendor's service is reached, and how much of it is used. */
export interface VendorServiceOptions {
  readonly clock: Clock;
  readonly fetch?: typeof globalThis.fetch;
  /** Base of the paths; a mirror or a stand-in may replace the vendor's. */
  readonly baseUrl?: string;
  /** How long one request may take, ms. */
  readonly timeoutMs?: number;
  /** The longest answer that is read, bytes. */
  readonly maxBytes?: number;
  /** How many requests may be made at once, and how long until each may be made again, ms. */
  readonly burst?: number;
  readonly intervalMs?: number;
}

/** How often in a row a service may fail before it is left alone for a while. */
const toleratedFailures = 3;
/** How long it is left alone first, and at most, ms; each further failure doubles it. */
const firstPauseMs = 5_000;
const longestPauseMs = 60_000;

/** What differs between the vendors. */
export interface Vendor {
  /** Whose service it is, for example `AMD`. */
  readonly name: string;
  urlOf(query: EndorsementQuery): URL;
  /** What the request has beside its address; a plain GET where this is left out. */
  requestOf?(query: EndorsementQuery): RequestInit;
  /** Reads an answer; undefined when it is not what was asked for. */
  read(query: EndorsementQuery, bytes: Uint8Array, headers: Headers): Endorsement | undefined;
}

/**
 * A client of a vendor's service. It keeps to its own rate and, after a 429 or 503, to the delay that the service
 * asked for. A service that fails again and again is left alone for a while, so that nobody waits for it. Answers that are late, too long, unreadable or of any unexpected status end in ATTESTATION_DEFERRED.
 */
export function vendorService(
  vendor: Vendor,
  options: Omit<VendorServiceOptions, 'baseUrl'>,
): EndorsementStore {
  const { clock, fetch = globalThis.fetch } = options;
  const { timeoutMs = 5_000, maxBytes = 1024 * 1024, burst = 8, intervalMs = 2_000 } = options;
  const service = `${vendor.name}'s service`;
  let closedUntil = 0;
  let allowedAt = 0;
  let failures = 0;
  let pausedAt = -Infinity;

  /** When the next request may start: a leaky bucket as a single time stamp (GCRA). */
  function reserve(now: number): number {
    allowedAt = Math.max(now, allowedAt) + intervalMs;
    return Math.max(0, allowedAt - burst * intervalMs - now);
  }

  /** Counts a failure, and closes the service when it asked for that or fails too often. */
  function fail(startedAt: number, retryAfterMs = 0): void {
    const now = clock.monotonic();
    closedUntil = Math.max(closedUntil, now + retryAfterMs);
    if (startedAt <= pausedAt) return; // It failed beside those for which the service is left alone.
    failures += 1;
    if (failures < toleratedFailures) return;
    pausedAt = now;
    const pauseMs = Math.min(firstPauseMs * 2 ** (failures - toleratedFailures), longestPauseMs);
    closedUntil = Math.max(closedUntil, now + pauseMs);
  }

  return {
    async fetch(query, signal): Promise<Endorsement | undefined> {
      signal?.throwIfAborted();
      const now = clock.monotonic();
      if (now < closedUntil) {
        throw deferral(query, `${service} is left alone for a while`, { retryAfterMs: closedUntil - now });
      }
      const waitMs = reserve(now);
      if (waitMs > timeoutMs) {
        allowedAt -= intervalMs;
        throw deferral(query, 'too many requests are waiting', { retryAfterMs: waitMs });
      }
      if (waitMs > 0) await sleep(clock, waitMs, signal);

      const startedAt = clock.monotonic();
      const deadline = new AbortController();
      const timer = clock.schedule(timeoutMs, () => deadline.abort());
      const signals = signal === undefined ? [deadline.signal] : [deadline.signal, signal];
      try {
        const response = await fetch(vendor.urlOf(query), {
          ...vendor.requestOf?.(query),
          signal: AbortSignal.any(signals),
          redirect: 'error',
        });
        if (response.status === 404 || response.status === 400) {
          await response.body?.cancel();
          failures = 0;
          return undefined;
        }
        if (response.status !== 200) {
          await response.body?.cancel();
          const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'), clock.now());
          fail(startedAt, retryAfterMs);
          const why = `${service} answered ${response.status}`;
          throw deferral(query, why, retryAfterMs === undefined ? {} : { retryAfterMs });
        }
        const bytes = await readBody(response, maxBytes);
        failures = 0;
        return readAnswer(query, bytes, response.headers);
      } catch (cause) {
        if (cause instanceof MusterError) throw cause;
        if (signal?.aborted !== true) fail(startedAt);
        const why = deadline.signal.aborted
          ? `${service} did not answer within ${timeoutMs} ms`
          : `${service} cannot be reached`;
        throw deferral(query, why, { cause });
      } finally {
        timer.cancel();
      }
    },
  };

  function readAnswer(query: EndorsementQuery, bytes: Uint8Array | undefined, headers: Headers): Endorsement {
    if (bytes === undefined) throw deferral(query, `the answer is longer than ${maxBytes} bytes`);
    const endorsement = vendor.read(query, bytes, headers);
    if (endorsement === undefined) throw deferral(query, 'the answer is not readable');
    return endorsement;
  }
}

/** Reads a body up to a limit; undefined when it is longer. */
export async function readBody(response: Response, maxBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    const bytes = chunk as Uint8Array;
    length += bytes.length;
    if (length > maxBytes) return undefined;
    chunks.push(bytes);
  }
  return Uint8Array.from(Buffer.concat(chunks));
}

/** Reads Retry-After (RFC 9110, section 10.2.3) as milliseconds, at most an hour; undefined when it is neither form. */
function parseRetryAfter(value: string | null, now: Date): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now.getTime();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), 3_600_000);
}
