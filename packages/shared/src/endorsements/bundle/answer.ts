import type { EndorsementQuery } from '../../evidence/appraisal.js';
import { reason, type Reason } from '../../reasons.js';
import type { Endorsement } from '../endorsement.js';

/** A query, and what it was answered with. */
export interface Answer {
  readonly query: EndorsementQuery;
  readonly found: Endorsement;
}

/** What answers are checked by. */
export interface CheckOptions {
  readonly at: Date;
  /** Roots that are trusted beside the vendors' pinned ones: SHA-256 of their public keys, lower-case hex. */
  readonly simulatedRoots: readonly string[];
}

/** The reason why an answer is refused; undefined when nothing is wrong with it. */
export type AnswerCheck = (answer: Answer) => Reason | undefined;

/** ENDORSEMENT_UNTRUSTED about an answer. */
export function untrusted({ query: { vendor, path } }: Answer, why: string): Reason {
  return reason('ENDORSEMENT_UNTRUSTED', {
    message: `${vendor}/${path}: ${why}.`,
    path: `${vendor}/${path}`,
  });
}

/** ENDORSEMENT_EXPIRED about an answer whose time is over, or has not come. */
export function outOfTime({ query: { vendor, path } }: Answer, what: string): Reason {
  const message = `${vendor}/${path}: ${what}.`;
  return reason('ENDORSEMENT_EXPIRED', { message, path: `${vendor}/${path}` });
}
