import type { Reason, ReasonCode } from '@muster/shared/reasons.js';

const codes: ReadonlySet<ReasonCode> = new Set([
  'ATTESTATION_GENERATION_FAILED',
  'ATTESTATION_DEVICE_TIMEOUT',
]);

/**
 * Whether evidence merely could not be collected, which says nothing of the machine. Any other reason that a participant
 * gives against itself, such as confidential computing that is off, is as good as evidence that was refused.
 */
export function isUncollected(reasons: readonly Reason[]): boolean {
  return reasons.every(({ code }) => codes.has(code));
}
