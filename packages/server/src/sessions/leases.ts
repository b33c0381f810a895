import type { Clock } from '@muster/shared/clock.js';

/** How long leases last. */
export interface LeaseTerms {
  /** How long after its last acknowledged heartbeat an agent keeps jobs running, ms. */
  readonly ttlMs: number;
  /** What is added until the server counts the jobs as ended: clocks differ and processes take time to end, ms. */
  readonly marginMs: number;
}

/**
 * When the leases that agents hold have certainly ended. The server counts from its acknowledgement, the agent from the
 * heartbeat before it, so the agent always ends first. What a previous process of the server granted is not known:
 * whoever had a session then is assumed to hold a lease from now.
 */
export class Leases {
  readonly #clock: Clock;
  readonly #terms: LeaseTerms;
  readonly #endsAt = new Map<string, number>();

  constructor(clock: Clock, terms: LeaseTerms, mayHoldOne: readonly string[]) {
    this.#clock = clock;
    this.#terms = terms;
    for (const participant of mayHoldOne) this.granted(participant);
  }

  /** Notes that a participant's lease is renewed now. */
  granted(participant: string): void {
    const { ttlMs, marginMs } = this.#terms;
    this.#endsAt.set(participant, this.#clock.monotonic() + ttlMs + marginMs);
  }

  /** When the last lease of a participant has certainly ended, on the monotonic clock, ms; 0 when it never held one. */
  endsAt(participant: string): number {
    return this.#endsAt.get(participant) ?? 0;
  }
}
