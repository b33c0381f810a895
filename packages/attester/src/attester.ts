import { refusal, type MusterError } from '@muster/shared/errors.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';

/** Collects the evidence of one namespace from its device. */
export interface Attester {
  readonly namespace: string;
  /** Whether its evidence is bound to that of the other attesters, so that theirs must be collected before. */
  readonly bindsToOthers?: boolean;
  /**
   * Collects fresh evidence that carries `reportData`, exactly 64 bytes.
   * Errors, each with the namespace: ATTESTATION_GENERATION_FAILED, ATTESTATION_DEVICE_TIMEOUT; a reason of the namespace
   * where the device says itself that it cannot prove anything; the signal's reason.
   */
  collect(reportData: Uint8Array, options?: CollectOptions): Promise<Evidence>;
}

/** What a collection is given beside the report data. */
export interface CollectOptions {
  /** How it can be given up. */
  readonly signal?: AbortSignal;
  /** The evidence of the other attesters in the same round, for one that binds to it. */
  readonly related?: readonly Evidence[];
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
