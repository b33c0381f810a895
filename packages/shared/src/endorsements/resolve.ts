import { MusterError } from '../errors.js';
import type { EndorsementQuery, Endorsements, Evidence, EvidenceVerifier } from '../evidence/appraisal.js';
import { mergeEndorsements, noEndorsements } from '../evidence/endorsements.js';
import { reason, type Reason } from '../reasons.js';
import { collectEndorsements, type Endorsement, type EndorsementStore } from './endorsement.js';

/** What could be had, and what could not be asked for at the moment. */
export interface Resolution {
  readonly endorsements: Endorsements;
  /**
   * ATTESTATION_DEFERRED for each query that no place could answer just now. An appraisal that fails while this is
   * not empty should be tried again; it is never a yes.
   */
  readonly deferred: readonly Reason[];
  /** How long to wait before asking again, in milliseconds, where a vendor said so. */
  readonly retryAfterMs?: number;
}

/** What could be had for a piece of evidence, and what was asked for it. */
export interface EvidenceResolution extends Resolution {
  readonly asked: readonly EndorsementQuery[];
}

/** Where verifiers' needs are met. */
export interface EndorsementSource {
  /** Answers queries as far as possible. Never rejects. */
  resolve(
    queries: readonly EndorsementQuery[],
    options: { readonly signal?: AbortSignal },
  ): Promise<Resolution>;
  /** Is told the queries for evidence that was refused with the answers, so that a wrong one does not stay for long. */
  doubt(queries: readonly EndorsementQuery[]): void;
}

/** A first answer can name the product that a second query needs; there is never more to it. */
const maxRounds = 3;

/** Asks each place in turn until one has the answer, for example an offline directory and then a vendor's service. */
export function endorsementSource(stores: readonly EndorsementStore[]): EndorsementSource {
  return {
    async resolve(queries, { signal }) {
      const answers = await Promise.all(queries.map((query) => ask(stores, query, signal)));
      const found = answers.flatMap(({ query: { kind }, found }) =>
        found === undefined ? [] : [{ kind, found }],
      );
      const waits = answers.flatMap(({ error }) => error?.retryAfterMs ?? []);
      return {
        endorsements: collectEndorsements(found),
        deferred: answers.flatMap(({ error }) => error?.reasons ?? []),
        ...(waits.length === 0 ? {} : { retryAfterMs: Math.max(...waits) }),
      };
    },
    doubt(queries) {
      for (const query of queries) for (const store of stores) store.doubt?.(query);
    },
  };
}

/** Gets what a verifier wants for evidence, in addition to what is at hand. Never rejects. */
export async function resolveFor(
  verifier: Pick<EvidenceVerifier, 'endorsementQueries'>,
  evidence: Evidence,
  source: Pick<EndorsementSource, 'resolve'>,
  options: { readonly atHand?: Endorsements; readonly signal?: AbortSignal } = {},
): Promise<EvidenceResolution> {
  const asked = new Map<string, EndorsementQuery>();
  let resolution: Resolution = {
    endorsements: options.atHand ?? noEndorsements,
    deferred: [],
  };
  for (let round = 0; round < maxRounds; round += 1) {
    const wanted = await verifier.endorsementQueries(evidence, resolution.endorsements);
    const queries = wanted.filter((query) => !asked.has(queryKey(query)));
    if (queries.length === 0) break;
    for (const query of queries) asked.set(queryKey(query), query);
    const { signal } = options;
    resolution = merge(resolution, await source.resolve(queries, signal === undefined ? {} : { signal }));
  }
  return { ...resolution, asked: [...asked.values()] };
}

interface Answer {
  readonly query: EndorsementQuery;
  readonly found?: Endorsement;
  readonly error?: MusterError;
}

async function ask(
  stores: readonly EndorsementStore[],
  query: EndorsementQuery,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  let error: MusterError | undefined;
  for (const store of stores) {
    try {
      const found = await store.fetch(query, signal);
      if (found !== undefined) return { query, found };
    } catch (cause) {
      error = cause instanceof MusterError ? cause : deferral(query, 'it took too long', { cause });
    }
  }
  return error === undefined ? { query } : { query, error };
}

/** Tells queries apart. */
export function queryKey({ vendor, path }: EndorsementQuery): string {
  return `${vendor}/${path}`;
}

/** The error of a place that cannot answer at the moment. */
export function deferral(
  { path }: EndorsementQuery,
  why: string,
  options: { readonly cause?: unknown; readonly retryAfterMs?: number } = {},
): MusterError {
  const message = `The endorsement ${path} could not be had: ${why}.`;
  return new MusterError([reason('ATTESTATION_DEFERRED', { message })], options);
}

function merge(first: Resolution, second: Resolution): Resolution {
  const waits = [first, second].flatMap(({ retryAfterMs }) => retryAfterMs ?? []);
  return {
    endorsements: mergeEndorsements(first.endorsements, second.endorsements),
    deferred: [...first.deferred, ...second.deferred],
    ...(waits.length === 0 ? {} : { retryAfterMs: Math.max(...waits) }),
  };
}
