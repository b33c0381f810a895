import { describe, expect, it } from '@jest/globals';
import { Alarms } from '@muster/server/attestation/alarms.js';
import { firstExpiry, isFresh, nextChallenge } from '@muster/server/attestation/timing.js';
import type { RegisteredToken } from '@muster/server/ports.js';
import { reason } from '@muster/shared/reasons.js';
import { FakeClock } from '../../support/fake-clock.js';

const at = new Date('2026-01-01T00:00:00Z');
const after = (ms: number): Date => new Date(at.getTime() + ms);
const token = (namespace: string, lifeMs: number): RegisteredToken =>
  ({ namespace, issuedAt: at, expiresAt: after(lifeMs) }) as RegisteredToken;
const tokens = [token('x-a', 600_000), token('x-b', 300_000)];
const both = ['x-a', 'x-b'];

describe('the times of tokens', () => {
  it('are those of the first required token', () => {
    expect(firstExpiry(tokens, both)).toEqual(after(300_000));
    expect(firstExpiry(tokens, ['x-a'])).toEqual(after(600_000));
    expect(firstExpiry([], both)).toBeUndefined();
  });

  it('call a proof fresh while every token has more than half of its life left', () => {
    expect(isFresh(tokens, both, after(149_999))).toBe(true);
    expect(isFresh(tokens, both, after(150_000))).toBe(false);
    expect(isFresh([token('x-a', 600_000)], both, at)).toBe(false);
    expect(isFresh([], [], at)).toBe(true);
  });

  it.each([
    [0, 162_000],
    [0.5, 180_000],
    [1, 198_000],
  ])('renew at 60 % of the shortest life, give or take a tenth (random %d)', (random, expected) => {
    const next = nextChallenge({ tokens, lastReasons: [] }, both, at, { retryMs: 60_000, random });
    expect(next).toEqual(after(expected));
  });

  it('challenge at once what is not proven, and after a pause what failed', () => {
    const rules = { retryMs: 60_000, random: 0.5 };
    expect(nextChallenge({ tokens: [], lastReasons: [] }, both, at, rules)).toEqual(at);
    const lastReasons = [reason('ATTESTATION_MISSING')];
    expect(nextChallenge({ tokens: [], lastReasons }, both, at, rules)).toEqual(after(60_000));
  });
});

describe('alarms', () => {
  it('ring once, at their time, unless they are cleared or set anew', async () => {
    const clock = new FakeClock(at);
    const rung: string[] = [];
    const alarms = new Alarms(clock, (name) => rung.push(name));
    alarms.set('a', after(100_000));
    alarms.set('b', after(10_000));
    alarms.set('b', after(200_000));
    alarms.set('c', after(50_000));
    alarms.clear('c');
    await clock.advance(99_999);
    expect(rung).toEqual([]);
    await clock.advance(1);
    expect(rung).toEqual(['a']);
    await clock.advance(1_000_000);
    expect(rung).toEqual(['a', 'b']);
    expect(clock.timers).toBe(0);
  });

  it.each([3_600_000, -3_600_000, 6_000, -6_000])(
    'ring within 30 seconds after the wall clock was stepped by %d ms',
    async (stepMs) => {
      const clock = new FakeClock(at);
      const rung: string[] = [];
      const alarms = new Alarms(clock, (name) => rung.push(name));
      alarms.set('a', after(7_200_000));
      await clock.advance(60_000);
      clock.step(stepMs);
      await clock.advance(30_000);
      expect(rung).toEqual(['a']);
    },
  );

  it('wait for their time when the wall clock is only corrected', async () => {
    const clock = new FakeClock(at);
    const rung: string[] = [];
    const alarms = new Alarms(clock, (name) => rung.push(name));
    alarms.set('a', after(40_000));
    clock.step(-3_000);
    await clock.advance(42_999);
    expect(rung).toEqual([]);
    await clock.advance(1);
    expect(rung).toEqual(['a']);
  });

  it('are silent once all are cleared', async () => {
    const clock = new FakeClock(at);
    const alarms = new Alarms(clock, () => {
      throw new Error('it rang');
    });
    alarms.set('a', after(1));
    alarms.set('b', after(1));
    alarms.clearAll();
    await clock.advance(10);
    expect(clock.timers).toBe(0);
  });
});
