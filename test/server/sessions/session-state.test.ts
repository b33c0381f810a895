import { describe, expect, it } from '@jest/globals';
import type { Upstream } from '@muster/server/sessions/frames.js';
import { readFrame } from '@muster/server/sessions/frames.js';
import {
  decideSession,
  newSession,
  type SessionEffect,
  type SessionEvent,
} from '@muster/server/sessions/session-state.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { CommandOutcome, GoodbyeReason, SessionRequest } from '@muster/shared/gen/muster/v1/agent.js';
import fc from 'fast-check';
import { greeting } from '../../support/session-federation.js';

const heartbeat = (seq: bigint): Upstream => ({
  $case: 'heartbeat',
  value: { seq, ackedThrough: 0n, jobsDigest: Buffer.alloc(0) },
});

const message: fc.Arbitrary<Upstream> = fc.oneof(
  fc.constant<Upstream>({ $case: 'hello', value: greeting() }),
  fc.bigInt({ min: 0n, max: 9n }).map(heartbeat),
  fc.constant<Upstream>({ $case: 'attestation', value: { challengeId: 'c', tokens: [], failures: [] } }),
  fc.constant<Upstream>({
    $case: 'commandAck',
    value: { seq: 1n, outcome: CommandOutcome.APPLIED, reasons: [] },
  }),
  fc
    .constantFrom(GoodbyeReason.SHUTDOWN, GoodbyeReason.HANDOVER)
    .map((reason): Upstream => ({ $case: 'goodbye', value: { reason } })),
);
const event: fc.Arbitrary<SessionEvent> = fc.oneof(
  {
    weight: 6,
    arbitrary: message.map((received): SessionEvent => ({ type: 'received', message: received })),
  },
  fc.constantFrom<SessionEvent>(
    { type: 'welcomed' },
    { type: 'greeting_overdue' },
    { type: 'disconnected' },
    { type: 'closed' },
    { type: 'closed', error: refusal('SESSION_FENCED') },
  ),
);

describe('the state machine of a session', () => {
  it('opens once, does nothing before Welcome and nothing after its end, and ends once', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), (events) => {
        let state = newSession;
        let welcomed = false;
        let beaten = 0n;
        const all: SessionEffect[] = [];
        for (const next of events) {
          const before = state;
          const { state: after, effects } = decideSession(before, next);
          if (before.phase === 'ended') expect(effects).toEqual([]);
          welcomed ||= before.phase === 'opening' && next.type === 'welcomed';
          for (const effect of effects) {
            if (effect.type !== 'open' && effect.type !== 'end') expect(welcomed).toBe(true);
            if (effect.type !== 'beat') continue;
            expect(effect.seq).toBeGreaterThan(beaten);
            beaten = effect.seq;
          }
          all.push(...effects);
          state = after;
        }
        const count = (type: SessionEffect['type']): number =>
          all.filter((effect) => effect.type === type).length;
        expect(count('open')).toBeLessThanOrEqual(1);
        expect(count('end')).toBe(state.phase === 'ended' ? 1 : 0);
        expect(count('leave')).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('reading a frame', () => {
  it('either gives a message or refuses with SESSION_PROTOCOL, whatever the bytes', () => {
    const valid = SessionRequest.encode({ message: { $case: 'hello', value: greeting() } }).finish();
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.nat(valid.length - 1), fc.nat(255)).map(([index, value]) => {
        const changed = Uint8Array.from(valid);
        changed[index] = value;
        return changed;
      }),
    );
    fc.assert(
      fc.property(bytes, (frame) => {
        try {
          expect(readFrame(frame).$case).toBeDefined();
        } catch (error) {
          expect(error).toBeInstanceOf(MusterError);
          expect((error as MusterError).code).toBe('SESSION_PROTOCOL');
        }
      }),
    );
  });
});
