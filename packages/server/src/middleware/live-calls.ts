import type { Clock } from '@muster/shared/clock.js';
import { refusal, type MusterError } from '@muster/shared/errors.js';
import type { Caller } from './caller.js';

/** A call that is being served, with the certificate that it was let in by. */
export interface LiveCall {
  readonly caller: Pick<Caller, 'serial' | 'notAfter'>;
  /** Ends the call for its caller and for its handler. */
  readonly end: (error: MusterError) => void;
}

/** The calls that are open: streams outlive the moment in which their caller was authenticated. */
export class LiveCalls {
  readonly #open = new Set<LiveCall>();

  get size(): number {
    return this.#open.size;
  }

  /** Adds a call; returns the way to forget it. */
  add(call: LiveCall): () => void {
    this.#open.add(call);
    return () => void this.#open.delete(call);
  }

  /** Ends the calls whose certificate has expired or is one of the revoked serial numbers. */
  sweep(clock: Clock, revoked: ReadonlySet<string>): void {
    const now = clock.now();
    for (const { caller, end } of this.#open) {
      if (revoked.has(caller.serial)) end(refusal('CERTIFICATE_REVOKED'));
      else if (caller.notAfter <= now) end(refusal('CERTIFICATE_EXPIRED'));
    }
  }
}
