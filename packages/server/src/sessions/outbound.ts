import type { Clock, Timer } from '@muster/shared/clock.js';
import type { MusterError } from '@muster/shared/errors.js';
import type { SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';
import type { Downstream } from './connections.js';

/** How many messages wait for an agent. */
const capacity = 64;
/** How long an agent may take to read the next message, ms. */
const blockedMs = 15_000;

/**
 * The messages that wait to be written to one agent. Heartbeat acknowledgements take no room: a newer one replaces an
 * older one. Reading it once yields the messages, until the queue is ended.
 */
export class Outbound {
  readonly #clock: Clock;
  readonly #onBlocked: () => void;
  readonly #queue: Downstream[] = [];
  #ack: Downstream | undefined;
  #ended = false;
  #error: MusterError | undefined;
  #wake: (() => void) | undefined;
  /** Since when something waits without anything being read, on the monotonic clock, ms. */
  #waitingSince: number | undefined;
  /** Looks whether the agent has read something; it is there for many messages. */
  #watch: Timer | undefined;

  /** Calls `onBlocked` when the agent reads nothing for 15 seconds although something waits. */
  constructor(clock: Clock, onBlocked: () => void) {
    this.#clock = clock;
    this.#onBlocked = onBlocked;
  }

  /** Queues a message; false when the queue is full or ended. */
  push(message: Downstream): boolean {
    if (this.#ended || (message.$case !== 'heartbeatAck' && this.#queue.length >= capacity)) return false;
    if (message.$case === 'heartbeatAck') this.#ack = message;
    else this.#queue.push(message);
    this.#waitingSince ??= this.#clock.monotonic();
    this.#watch ??= this.#clock.schedule(blockedMs, () => this.#look());
    this.#wake?.();
    return true;
  }

  /** Ends the queue: in order, what waits is still written; with an error, the call ends with that and nothing else. */
  end(error?: MusterError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (error !== undefined) this.#queue.length = 0;
    this.#watch?.cancel();
    this.#wake?.();
  }

  /** The messages, in order. Rejects with the error that the queue was ended with. */
  async *messages(): AsyncGenerator<SessionResponse> {
    for (;;) {
      const message = this.#take();
      if (message !== undefined) yield { message };
      else if (this.#error !== undefined) throw this.#error;
      else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }

  #take(): Downstream | undefined {
    if (this.#error !== undefined) return undefined;
    const message = this.#ack ?? this.#queue.shift();
    this.#ack = undefined;
    this.#waitingSince = this.#queue.length > 0 ? this.#clock.monotonic() : undefined;
    return message;
  }

  #look(): void {
    this.#watch = undefined;
    if (this.#waitingSince === undefined || this.#ended) return;
    const leftMs = this.#waitingSince + blockedMs - this.#clock.monotonic();
    if (leftMs <= 0) this.#onBlocked();
    else this.#watch = this.#clock.schedule(leftMs, () => this.#look());
  }
}
