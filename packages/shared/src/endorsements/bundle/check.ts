import type { EndorsementQuery } from '../../evidence/appraisal.js';
import type { Reason } from '../../reasons.js';
import { amdCheck } from './amd.js';
import { untrusted, type Answer, type AnswerCheck, type CheckOptions } from './answer.js';
import { intelCheck } from './intel.js';
import { nvidiaCheck } from './nvidia.js';

/** An answer, and why it is refused where it is. */
export interface CheckedAnswer extends Answer {
  readonly refusal?: Reason;
}

const checks: Readonly<
  Record<EndorsementQuery['vendor'], (answers: readonly Answer[], options: CheckOptions) => AnswerCheck>
> = {
  amd: amdCheck,
  intel: intelCheck,
  nvidia: nvidiaCheck,
  tpm: () => (answer) => untrusted(answer, 'which CAs certify TPMs is a matter of policies'),
};

/**
 * Checks answers as far as they verify one another, without evidence: chains up to pinned roots, signatures and dates.
 * A verifier checks all of that again, and that they belong to its evidence.
 */
export function checkAnswers(answers: readonly Answer[], options: CheckOptions): readonly CheckedAnswer[] {
  const prepared = new Map<string, AnswerCheck>();
  return answers.map((answer) => {
    const { vendor } = answer.query;
    const of = answers.filter(({ query }) => query.vendor === vendor);
    const check = prepared.get(vendor) ?? checks[vendor](of, options);
    prepared.set(vendor, check);
    const refusal = check(answer);
    return refusal === undefined ? answer : { ...answer, refusal };
  });
}
