import type { Clock } from '@muster/shared/clock.js';

/** What the watch of leases works with. */
export interface LeaseWatchOptions {
  readonly clock: Clock;
  /** When a participant's last lease has certainly ended, on the monotonic clock, ms. */
  readonly leaseEndsAt: (participant: string) => number;
  readonly onEnded: (participant: string) => void;
}

/** Calls back once for each watched participant when its lease has certainly ended, however often it was renewed before. */
export class LeaseWatch {
  readonly #watched = new Set<string>();
  readonly #options: LeaseWatchOptions;

  constructor(options: LeaseWatchOptions) {
    this.#options = options;
  }

  /** Watches a participant until its lease has ended; does nothing when it is watched already. */
  watch(participant: string): void {
    if (this.#watched.has(participant)) return;
    this.#watched.add(participant);
    this.#look(participant);
  }

  #look(participant: string): void {
    const { clock, leaseEndsAt, onEnded } = this.#options;
    const leftMs = Math.max(0, leaseEndsAt(participant) - clock.monotonic());
    clock.schedule(leftMs, () => {
      if (leaseEndsAt(participant) > clock.monotonic()) return this.#look(participant);
      this.#watched.delete(participant);
      return onEnded(participant);
    });
  }
}
