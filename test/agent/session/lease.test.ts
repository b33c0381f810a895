import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { hasEnded, isHeld, noLease, renewLease } from '@muster/agent/session/lease.js';

describe('the lease', () => {
  it('counts from when the acknowledged heartbeat was sent', () => {
    const lease = renewLease(noLease, 1_000, 60_000);
    expect([isHeld(lease, 60_999), isHeld(lease, 61_000)]).toEqual([true, false]);
    expect([hasEnded(lease, 60_999), hasEnded(lease, 61_000)]).toEqual([false, true]);
  });

  it('is not held before the first acknowledgement, and cannot end then', () => {
    expect([isHeld(noLease, 0), hasEnded(noLease, 1e9)]).toEqual([false, false]);
  });

  it('is never held longer than its time after the newest acknowledged heartbeat', () => {
    const heartbeat = fc.record({ sentAt: fc.nat(1e6), ttlMs: fc.constant(60_000) });
    fc.assert(
      fc.property(fc.array(heartbeat, { minLength: 1 }), fc.nat(2e6), (acknowledged, now) => {
        const lease = acknowledged.reduce(
          (held, { sentAt, ttlMs }) => renewLease(held, sentAt, ttlMs),
          noLease,
        );
        const newest = Math.max(...acknowledged.map(({ sentAt }) => sentAt));
        expect(isHeld(lease, now)).toBe(now < newest + 60_000);
      }),
    );
  });
});
