import type { MusterError } from '@muster/shared/errors.js';
import type { SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';
import type { Responses } from '../middleware/message-stream.js';
import type { Downstream } from './connections.js';

/** How many messages wait for an agent that is behind. */
const capacity = 64;

/**
 * The messages to one agent. They are sent at once; while the agent is behind they wait, and a newer heartbeat
 * acknowledgement replaces an older one, so that those take no room. The endpoint ends an agent that stays behind.
 */
export class Outbound {
  readonly #responses: Responses<SessionResponse>;
  readonly #queue: Downstream[] = [];
  #ack: Downstream | undefined;
  /** Nothing more is taken; what waits is still sent. */
  #ending = false;
  #ended = false;
  #behind = false;

  constructor(responses: Responses<SessionResponse>) {
    this.#responses = responses;
  }

  /** Sends a message or queues it; false when the queue is full or ended. */
  push(message: Downstream): boolean {
    if (this.#ending) return false;
    if (!this.#behind) this.#send(message);
    else if (message.$case === 'heartbeatAck') this.#ack = message;
    else if (this.#queue.length >= capacity) return false;
    else this.#queue.push(message);
    return true;
  }

  /** The agent has caught up: what waits is sent. */
  drained(): void {
    if (this.#ended) return;
    this.#behind = false;
    while (!this.#behind) {
      const message = this.#ack ?? this.#queue.shift();
      this.#ack = undefined;
      if (message !== undefined) this.#send(message);
      else return this.#ending ? this.#finish() : undefined;
    }
  }

  /** Ends the queue: in order, what waits is still sent; with an error, the call ends with that and nothing else. */
  end(error?: MusterError): void {
    if (this.#ending) return;
    this.#ending = true;
    if (!this.#behind || error !== undefined) this.#finish(error);
  }

  #finish(error?: MusterError): void {
    this.#ended = true;
    this.#responses.end(error);
  }

  #send(message: Downstream): void {
    this.#behind = !this.#responses.send({ message });
  }
}
