import type { Clock, Timer } from '@muster/shared/clock.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import type { Speaker } from '../ports.js';
import type { ParticipantRegistry } from '../registry/participant-registry.js';
import { recordSeen, type Seen } from '../store/participants.js';
import type { Store } from '../store/store.js';

/** How often it is written down who was seen, in the registry and in the store, ms. */
const flushMs = 5_000;
/** How many are written down by one statement. */
const batchSize = 500;
/** How long it is looked for nobody after it was looked for the silent, ms: by so much silence may be noticed late. */
const pauseMs = 250;

/** What liveness works with. */
export interface LivenessOptions {
  readonly store: Store;
  readonly registry: Pick<ParticipantRegistry, 'setLiveness'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called once when a participant has been silent for as long as it may, until it is heard again. */
  readonly onSilent: (participant: string) => void;
}

/** What is known of a participant's signs of life; times on the monotonic clock, ms. */
interface Signs {
  dueAt: number;
  /** The last one that was not written down yet, and the epoch of its session. */
  heardAt?: number | undefined;
  epoch: number;
}

/** Who was heard from, and when. The registry and the store follow in batches, and one timer looks after all deadlines. */
export class Liveness {
  readonly #options: LivenessOptions;
  readonly #signs = new Map<string, Signs>();
  #flush: Timer | undefined;
  #look: { readonly at: number; readonly timer: Timer } | undefined;

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  /** Notes a sign of life in a session; the next one must follow within `allowedMs`. */
  heard({ participant, epoch }: Speaker, allowedMs: number): void {
    const { clock } = this.#options;
    const heardAt = clock.monotonic();
    const signs = this.#expect(participant, heardAt + allowedMs);
    signs.heardAt = heardAt;
    signs.epoch = epoch;
    this.#flush ??= clock.schedule(flushMs, () => void this.#write());
  }

  /** Expects a sign of life within `allowedMs`. */
  expect(participant: string, allowedMs: number): void {
    this.#expect(participant, this.#options.clock.monotonic() + allowedMs);
  }

  /** Expects nothing more from a participant: it has left or was removed. */
  forget(participant: string): void {
    this.#signs.delete(participant);
  }

  /** Ends all timers. */
  stop(): void {
    this.#look?.timer.cancel();
    this.#flush?.cancel();
  }

  #expect(participant: string, dueAt: number): Signs {
    let signs = this.#signs.get(participant);
    if (signs === undefined) {
      signs = { dueAt, epoch: 0 };
      this.#signs.set(participant, signs);
    } else {
      signs.dueAt = dueAt;
    }
    if (this.#look === undefined || dueAt < this.#look.at) this.#lookAt(dueAt);
    return signs;
  }

  #lookAt(at: number): void {
    const { clock } = this.#options;
    this.#look?.timer.cancel();
    this.#look = { at, timer: clock.schedule(at - clock.monotonic(), () => this.#findSilent()) };
  }

  #findSilent(): void {
    const { clock, onSilent } = this.#options;
    const now = clock.monotonic();
    this.#look = undefined;
    let next = Infinity;
    for (const [participant, { dueAt }] of this.#signs) {
      if (dueAt > now) {
        next = Math.min(next, dueAt);
      } else {
        this.#signs.delete(participant);
        onSilent(participant);
      }
    }
    if (next < Infinity) this.#lookAt(Math.max(next, now + pauseMs));
  }

  async #write(): Promise<void> {
    const { store, registry, clock, logger } = this.#options;
    const began = clock.now().getTime() - clock.monotonic();
    this.#flush = undefined;
    const seen: Seen[] = [];
    for (const [name, signs] of this.#signs) {
      if (signs.heardAt === undefined) continue;
      const at = Math.floor(began + signs.heardAt);
      signs.heardAt = undefined;
      registry.setLiveness(name, { lastSeenAt: new Date(at) });
      seen.push({ name, epoch: signs.epoch, at });
    }
    try {
      for (let first = 0; first < seen.length; first += batchSize) {
        const batch = seen.slice(first, first + batchSize);
        await store.transaction((tx) => recordSeen(tx, batch));
      }
    } catch (error) {
      logger.warn('session.liveness_unwritten', errorFields(error));
    }
  }
}
