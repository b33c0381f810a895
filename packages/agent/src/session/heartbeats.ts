/** The heartbeats of one session. */
export interface Heartbeats {
  readonly intervalMs: number;
  /** The last one sent; 0 for none. */
  readonly seq: bigint;
  /** When the next one is due, on the monotonic clock, ms. */
  readonly dueAt: number;
  /** Those that the server has not acknowledged, the oldest first, with when they were sent. */
  readonly unanswered: readonly { readonly seq: bigint; readonly sentAt: number }[];
}

/** How many heartbeats may go unanswered before the session counts as dead. */
const missedAllowed = 3;

/** The heartbeats of a session that opens now: the first is due at once, because it earns the lease. */
export function startHeartbeats(intervalMs: number, now: number): Heartbeats {
  return { intervalMs, seq: 0n, dueAt: now, unanswered: [] };
}

/** Whether the server has stopped answering. */
export function isDead({ unanswered }: Heartbeats): boolean {
  return unanswered.length >= missedAllowed;
}

/** Notes that the next heartbeat is sent now; the one after follows in an interval +-10 %. */
export function beat(heartbeats: Heartbeats, now: number, random: number): Heartbeats {
  const seq = heartbeats.seq + 1n;
  return {
    ...heartbeats,
    seq,
    dueAt: now + heartbeats.intervalMs * (0.9 + 0.2 * random),
    unanswered: [...heartbeats.unanswered, { seq, sentAt: now }],
  };
}

/**
 * Notes an acknowledgement, which covers all heartbeats up to its number. `sentAt` is when the newest of them was sent;
 * undefined when none of them was waiting for it.
 */
export function acknowledge(
  heartbeats: Heartbeats,
  seq: bigint,
): { readonly heartbeats: Heartbeats; readonly sentAt: number | undefined } {
  const covered = heartbeats.unanswered.filter((sent) => sent.seq <= seq);
  const unanswered = heartbeats.unanswered.filter((sent) => sent.seq > seq);
  return { heartbeats: { ...heartbeats, unanswered }, sentAt: covered.at(-1)?.sentAt };
}
