import type { Clock, Timer } from '@muster/shared/clock.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import type { Speaker } from '../ports.js';
import type { ParticipantRegistry } from '../registry/participant-registry.js';
import { recordSeen } from '../store/participants.js';
import type { Store } from '../store/store.js';

/** How often it is written down who was seen, in the registry and in the store, ms. */
const flushMs = 5_000;

/** What liveness works with. */
export interface LivenessOptions {
  readonly store: Store;
  readonly registry: Pick<ParticipantRegistry, 'setLiveness'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called once when a participant has been silent for as long as it may, until it is heard again. */
  readonly onSilent: (participant: string) => void;
}

/** When a sign of life must have come, and when the timer looks whether it has, on the monotonic clock, ms. */
interface Deadline {
  dueAt: number;
  readonly looksAt: number;
  readonly timer: Timer;
}

/** Who was heard from, and when. The registry and the store follow in batches. */
export class Liveness {
  readonly #options: LivenessOptions;
  readonly #deadlines = new Map<string, Deadline>();
  readonly #seen = new Map<string, { readonly epoch: number; readonly at: number }>();
  #flush: Timer | undefined;

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  /** Notes a sign of life in a session; the next one must follow within `allowedMs`. */
  heard({ participant, epoch }: Speaker, allowedMs: number): void {
    const { clock } = this.#options;
    this.#seen.set(participant, { epoch, at: clock.now().getTime() });
    this.#flush ??= clock.schedule(flushMs, () => void this.#write());
    this.expect(participant, allowedMs);
  }

  /** Expects a sign of life within `allowedMs`. */
  expect(participant: string, allowedMs: number): void {
    const dueAt = this.#options.clock.monotonic() + allowedMs;
    const deadline = this.#deadlines.get(participant);
    // Most deadlines are put off many times: one that is later waits for the timer that is there.
    if (deadline !== undefined && dueAt >= deadline.looksAt) deadline.dueAt = dueAt;
    else this.#look(participant, dueAt);
  }

  /** Expects nothing more from a participant: it has left or was removed. */
  forget(participant: string): void {
    this.#deadlines.get(participant)?.timer.cancel();
    this.#deadlines.delete(participant);
    this.#seen.delete(participant);
  }

  /** Ends all timers. */
  stop(): void {
    for (const { timer } of this.#deadlines.values()) timer.cancel();
    this.#flush?.cancel();
  }

  #look(participant: string, dueAt: number): void {
    const { clock, onSilent } = this.#options;
    this.#deadlines.get(participant)?.timer.cancel();
    const timer = clock.schedule(dueAt - clock.monotonic(), () => {
      if (deadline.dueAt > clock.monotonic()) return this.#look(participant, deadline.dueAt);
      this.#deadlines.delete(participant);
      return onSilent(participant);
    });
    const deadline: Deadline = { dueAt, looksAt: dueAt, timer };
    this.#deadlines.set(participant, deadline);
  }

  async #write(): Promise<void> {
    const { store, registry, logger } = this.#options;
    const seen = [...this.#seen];
    this.#seen.clear();
    this.#flush = undefined;
    for (const [name, { at }] of seen) registry.setLiveness(name, { lastSeenAt: new Date(at) });
    try {
      await store.transaction(async (tx) => {
        for (const [name, { epoch, at }] of seen) await recordSeen(tx, name, epoch, at);
      });
    } catch (error) {
      logger.warn('session.liveness_unwritten', errorFields(error));
    }
  }
}
