import { refusal, type MusterError } from '@muster/shared/errors.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';

/** Collects the evidence of one namespace from its device. */
export interface Attester {
  readonly namespace: string;
  /**
   * Collects fresh evidence that carries `reportData`, exactly 64 bytes.
   * Errors: ATTESTATION_GENERATION_FAILED, ATTESTATION_DEVICE_TIMEOUT, both with the namespace; the signal's reason.
   */
  collect(reportData: Uint8Array, options?: CollectOptions): Promise<Evidence>;
}

/** How a collection can be given up. */
export interface CollectOptions {
  readonly signal?: AbortSignal;
}

/** An error that says what went wrong at the device; it begins with "failed to generate CC token". */
export function generationFailed(namespace: string, what: string, cause?: unknown): MusterError {
  const message = `failed to generate CC token: ${what}`;
  return refusal('ATTESTATION_GENERATION_FAILED', { message, namespace }, cause);
}

/** The code of a failed system call, for example `ENOENT`; undefined for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('syscall' in error)) return undefined;
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
