import { sleep, type Clock } from '../clock.js';
import { MusterError } from '../errors.js';
import type { EndorsementQuery } from '../evidence/appraisal.js';
import { readEndorsement, type Endorsement, type EndorsementStore } from './endorsement.js';
import { deferral } from './resolve.js';

/** AMD's key distribution service (VCEK Certificate and KDS Interface Specification, section 4). */
export const amdKeyServiceUrl = 'https://kdsintf.amd.com/';

/** How the service is reached, and how much of it is used. */
export interface AmdKeyServiceOptions {
  readonly clock: Clock;
  readonly fetch?: typeof globalThis.fetch;
  /** Base of the paths; a mirror or a stand-in may replace AMD's. */
  readonly baseUrl?: string;
  /** How long one request may take, ms. */
  readonly timeoutMs?: number;
  /** The longest answer that is read, bytes. */
  readonly maxBytes?: number;
  /** How many requests may be made at once, and how long until each may be made again, ms. */
  readonly burst?: number;
  readonly intervalMs?: number;
}

/**
 * A client of AMD's key service. It keeps to its own rate and, after a 429 or 503, to the delay that the service
 * asked for. Answers that are late, too long, unreadable or of any unexpected status end in ATTESTATION_DEFERRED.
 */
export function amdKeyService(options: AmdKeyServiceOptions): EndorsementStore {
  const { clock, fetch = globalThis.fetch, baseUrl = amdKeyServiceUrl } = options;
  const { timeoutMs = 5_000, maxBytes = 1024 * 1024, burst = 8, intervalMs = 2_000 } = options;
  let closedUntil = 0;
  let allowedAt = 0;

  /** When the next request may start: a leaky bucket as a single time stamp (GCRA). */
  function reserve(now: number): number {
    allowedAt = Math.max(now, allowedAt) + intervalMs;
    return Math.max(0, allowedAt - burst * intervalMs - now);
  }

  return {
    async fetch(query, signal): Promise<Endorsement | undefined> {
      signal?.throwIfAborted();
      const now = clock.monotonic();
      if (now < closedUntil) {
        throw deferral(query, "AMD's service asked to wait", { retryAfterMs: closedUntil - now });
      }
      const waitMs = reserve(now);
      if (waitMs > timeoutMs) {
        allowedAt -= intervalMs;
        throw deferral(query, 'too many requests are waiting', { retryAfterMs: waitMs });
      }
      if (waitMs > 0) await sleep(clock, waitMs, signal);

      const deadline = new AbortController();
      const timer = clock.schedule(timeoutMs, () => deadline.abort());
      const signals = signal === undefined ? [deadline.signal] : [deadline.signal, signal];
      try {
        const response = await fetch(new URL(query.path, baseUrl), {
          signal: AbortSignal.any(signals),
          redirect: 'error',
        });
        if (response.status === 404 || response.status === 400) {
          await response.body?.cancel();
          return undefined;
        }
        if (response.status !== 200) {
          await response.body?.cancel();
          const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'), clock.now());
          if (retryAfterMs !== undefined) closedUntil = clock.monotonic() + retryAfterMs;
          const why = `AMD's service answered ${response.status}`;
          throw deferral(query, why, retryAfterMs === undefined ? {} : { retryAfterMs });
        }
        return readAnswer(query, await readBody(response, maxBytes));
      } catch (cause) {
        if (cause instanceof MusterError) throw cause;
        const why = deadline.signal.aborted
          ? `AMD's service did not answer within ${timeoutMs} ms`
          : "AMD's service cannot be reached";
        throw deferral(query, why, { cause });
      } finally {
        timer.cancel();
      }
    },
  };

  function readAnswer(query: EndorsementQuery, bytes: Uint8Array | undefined): Endorsement {
    if (bytes === undefined) throw deferral(query, `the answer is longer than ${maxBytes} bytes`);
    const endorsement = readEndorsement(query.kind, bytes);
    if (endorsement === undefined) throw deferral(query, 'the answer is not readable');
    return endorsement;
  }
}

/** Reads a body up to a limit; undefined when it is longer. */
async function readBody(response: Response, maxBytes: number): Promise<Uint8Array | undefined> {
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
