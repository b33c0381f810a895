import type { Reason } from '../reasons.js';

/** One condition on a candidate: the reason why it fails, or undefined. */
export type Check<T> = (candidate: T) => Reason | undefined;

/** The candidates that passed every check, and the reason of the one that came furthest among those that did not. */
export interface Selection<T> {
  readonly passed: readonly T[];
  readonly failure: Reason | undefined;
}

/** Runs ordered checks over candidates, so that one unfit candidate never hides a fit one. */
export function select<T>(candidates: readonly T[], checks: readonly Check<T>[]): Selection<T> {
  const passed: T[] = [];
  let furthest = -1;
  let failure: Reason | undefined;
  for (const candidate of candidates) {
    const failed = firstFailure(candidate, checks);
    if (failed === undefined) {
      passed.push(candidate);
    } else if (failed.index > furthest) {
      furthest = failed.index;
      failure = failed.reason;
    }
  }
  return { passed, failure };
}

function firstFailure<T>(
  candidate: T,
  checks: readonly Check<T>[],
): { readonly index: number; readonly reason: Reason } | undefined {
  for (const [index, check] of checks.entries()) {
    const reason = check(candidate);
    if (reason !== undefined) return { index, reason };
  }
  return undefined;
}
