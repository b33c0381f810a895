import { reason, type Reason, type ReasonCode, type ReasonDetail } from './reasons.js';

/**
 * The one error that Muster throws on purpose. It carries at least one reason; the first is the primary one and
 * decides the gRPC status of a call.
 */
export class MusterError extends Error {
  override readonly name = 'MusterError';
  readonly reasons: readonly [Reason, ...Reason[]];
  /** How long to wait before the same call can succeed, in milliseconds, where that is known. */
  readonly retryAfterMs?: number;

  constructor(
    reasons: readonly [Reason, ...Reason[]],
    options: { readonly cause?: unknown; readonly retryAfterMs?: number } = {},
  ) {
    super(reasons[0].message, options.cause === undefined ? {} : { cause: options.cause });
    this.reasons = reasons;
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs;
  }

  /** The primary reason's code. */
  get code(): ReasonCode {
    return this.reasons[0].code;
  }
}

/** Makes an error with one reason. */
export function refusal(code: ReasonCode, detail: ReasonDetail = {}, cause?: unknown): MusterError {
  return new MusterError([reason(code, detail)], { cause });
}
