import type { MusterError } from '@muster/shared/errors.js';
import type { SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';

/** A message to an agent. */
export type Downstream = NonNullable<SessionResponse['message']>;

/** One open session, as the rest of the server sees it. */
export interface Connection {
  readonly participant: string;
  readonly epoch: number;
  /** Queues a message; false when the agent reads too slowly and the queue is full. */
  send(message: Downstream): boolean;
  /** Ends the session, with an error for the agent or, without one, in order. */
  close(error?: MusterError): void;
}

/** How the parts of the server reach agents. */
export interface Outbox {
  /** Queues a message for a connected participant; false when it is not connected or its queue is full. */
  send(participant: string, message: Downstream): boolean;
}

/** The open sessions, at most one for each participant. */
export class Connections implements Outbox {
  readonly #open = new Map<string, Connection>();

  /** Puts a session in the place of the participant's previous one, which is returned. */
  add(connection: Connection): Connection | undefined {
    const previous = this.#open.get(connection.participant);
    this.#open.set(connection.participant, connection);
    return previous;
  }

  /** Forgets a session; false when a newer one has taken its place. */
  remove(connection: Connection): boolean {
    if (this.#open.get(connection.participant) !== connection) return false;
    return this.#open.delete(connection.participant);
  }

  get(participant: string): Connection | undefined {
    return this.#open.get(participant);
  }

  all(): readonly Connection[] {
    return [...this.#open.values()];
  }

  get size(): number {
    return this.#open.size;
  }

  send(participant: string, message: Downstream): boolean {
    return this.#open.get(participant)?.send(message) ?? false;
  }
}
