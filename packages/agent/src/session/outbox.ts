import type { SessionRequest } from '@muster/shared/gen/muster/v1/agent.js';

/** A message of an agent to the server. */
export type Outgoing = NonNullable<SessionRequest['message']>;

/** A message that must not get lost with a stream. */
interface Unconfirmed {
  readonly message: Outgoing;
  /** The last heartbeat that was sent before it in this session; undefined while it was not sent in this session. */
  readonly sentAfter: bigint | undefined;
}

/**
 * Messages that the server may not have received. A stream is in order, so the acknowledgement of a heartbeat confirms
 * everything sent before that heartbeat; what is left when a stream breaks is sent again on the next one.
 */
export interface Outbox {
  readonly entries: readonly Unconfirmed[];
}

const maxEntries = 512;

export const emptyOutbox: Outbox = { entries: [] };

/** Keeps a message; beyond 512 the oldest is given up. */
export function keep(outbox: Outbox, message: Outgoing, sentAfter: bigint | undefined): Outbox {
  return { entries: [...outbox.entries, { message, sentAfter }].slice(-maxEntries) };
}

/** Forgets what an acknowledged heartbeat confirms. */
export function confirm(outbox: Outbox, heartbeat: bigint): Outbox {
  return {
    entries: outbox.entries.filter(({ sentAfter }) => sentAfter === undefined || sentAfter >= heartbeat),
  };
}

/** Makes everything due again on a new session. Acknowledgements count only in the log that they were made for. */
export function resend(outbox: Outbox, sameLog: boolean): Outbox {
  return {
    entries: outbox.entries
      .filter(({ message }) => sameLog || message.$case !== 'commandAck')
      .map(({ message }) => ({ message, sentAfter: 0n })),
  };
}
