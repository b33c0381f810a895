import { refusal, type MusterError } from '@muster/shared/errors.js';
import type { ReasonCode } from '@muster/shared/reasons.js';

/** The namespace of NVIDIA GPUs and their switches. */
export const namespace = 'x-nv-gpu';

/** What else is known of a failure. */
export interface FailureDetails {
  /** The device that it is about, such as `GPU-1`, as the result of its appraisal would be named. */
  readonly device?: string;
  /** The reason, where there is more to say than that there is no evidence. */
  readonly code?: ReasonCode;
  readonly cause?: unknown;
}

/** An error that says what went wrong, and at which device; it begins with "failed to generate CC token". */
export function failed(what: string, details: FailureDetails = {}): MusterError {
  const { device, code = 'ATTESTATION_GENERATION_FAILED', cause } = details;
  const message = `failed to generate CC token: ${device === undefined ? '' : `${device}: `}${what}`;
  return refusal(code, { message, namespace, ...(device !== undefined && { path: device }) }, cause);
}
