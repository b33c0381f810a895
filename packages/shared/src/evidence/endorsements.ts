import { createHash } from 'node:crypto';
import type { EndorsementDocument, Endorsements } from './appraisal.js';

/** What a verifier has when nothing was found or sent. */
export const noEndorsements: Endorsements = { certificates: [], crls: [], documents: [] };

/** The endorsements of several sources together, each once. */
export function mergeEndorsements(...sources: readonly Endorsements[]): Required<Endorsements> {
  return {
    certificates: distinct(
      sources.flatMap(({ certificates }) => certificates),
      (der) => der,
    ),
    crls: distinct(
      sources.flatMap(({ crls }) => crls),
      (der) => der,
    ),
    documents: distinct(
      sources.flatMap(({ documents = [] }) => documents),
      ({ content }) => content,
    ),
  };
}

/** The kinds of documents that a verifier of this release may want. */
const documentKinds = [
  'tdx-tcb-info',
  'tdx-qe-identity',
  'nvidia-rim',
  'ocsp',
] as const satisfies EndorsementDocument['kind'][];

/** Documents from the wire or the store; those of a kind that this release does not know are left out. */
export function knownDocuments(
  documents: readonly { readonly kind: string; readonly content: Uint8Array }[],
): EndorsementDocument[] {
  return documents.flatMap(({ kind: name, content }) => {
    const kind = documentKinds.find((known) => known === name);
    return kind === undefined ? [] : [{ kind, content }];
  });
}

function distinct<T>(items: readonly T[], bytes: (item: T) => Uint8Array): T[] {
  const digest = (item: T): string => createHash('sha256').update(bytes(item)).digest('base64');
  return [...new Map(items.map((item) => [digest(item), item])).values()];
}
