/** Permission to keep jobs running without word from the server, on the monotonic clock. */
export interface Lease {
  /** When it ends, ms; undefined while none is held. */
  readonly endsAt: number | undefined;
}

/** What an agent begins with, and has after it lost its lease. */
export const noLease: Lease = { endsAt: undefined };

/**
 * The lease after a heartbeat was acknowledged with its lease renewed. It counts from when that heartbeat was sent, so
 * that the agent's reckoning never ends after the server's; an acknowledgement that arrives late never shortens it.
 */
export function renewLease(lease: Lease, sentAt: number, ttlMs: number): Lease {
  return { endsAt: Math.max(lease.endsAt ?? -Infinity, sentAt + ttlMs) };
}

/** Whether jobs may run now. */
export function isHeld(lease: Lease, now: number): boolean {
  return lease.endsAt !== undefined && now < lease.endsAt;
}

/** Whether a lease was held and has ended, so that all jobs must be stopped. */
export function hasEnded(lease: Lease, now: number): boolean {
  return lease.endsAt !== undefined && now >= lease.endsAt;
}
