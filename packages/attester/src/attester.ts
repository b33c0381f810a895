import { refusal, type MusterError } from '@muster/shared/errors.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';

/** The key that signs a device's evidence, with what tells verifiers which device that is. */
export interface DeviceKey {
  /** Its public part, as the device gives it. */
  readonly attestationKey: Uint8Array;
  /** X.509 certificates, DER: that of the device's endorsement key, then those of its issuers. */
  readonly endorsementCertificates: readonly Uint8Array[];
}

/** What only the device with both keys can open. */
export interface KeyCredential {
  readonly blob: Uint8Array;
  readonly encryptedSecret: Uint8Array;
}

/** Proves by credential activation that the key which signs the evidence is in the device. Errors: as those of a collection. */
export interface KeyProof {
  /** The keys. */
  describe(options?: Pick<CollectOptions, 'signal'>): Promise<DeviceKey>;
  /** What is in a credential. */
  open(credential: KeyCredential, options?: Pick<CollectOptions, 'signal'>): Promise<Uint8Array>;
}

/** Collects the evidence of one namespace from its device. */
export interface Attester {
  readonly namespace: string;
  /** Whether its evidence is bound to that of the other attesters, so that theirs must be collected before. */
  readonly bindsToOthers?: boolean;
  /** Present where the key that signs the evidence is to be proven. */
  readonly keyProof?: KeyProof;
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
