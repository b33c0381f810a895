import { beforeEach, describe, expect, it } from '@jest/globals';
import { Leases } from '@muster/server/sessions/leases.js';
import { Liveness } from '@muster/server/sessions/liveness.js';
import { insertParticipant, selectParticipant } from '@muster/server/store/participants.js';
import type { Store } from '@muster/server/store/store.js';
import { FakeClock } from '../../support/fake-clock.js';
import { silentLogger } from '../../support/logger.js';
import { memoryStore } from '../../support/store.js';

describe('liveness', () => {
  let store: Store;
  let clock: FakeClock;
  let silent: string[];
  let liveness: Liveness;

  beforeEach(async () => {
    store = await memoryStore();
    clock = new FakeClock();
    silent = [];
    const registry = { setLiveness: () => undefined };
    liveness = new Liveness({
      store,
      registry,
      clock,
      logger: silentLogger,
      onSilent: (name) => silent.push(name),
    });
    await store.transaction((tx) => insertParticipant(tx, { name: 'site-1', role: 'site', invited_at: 0 }));
  });

  const site = { participant: 'site-1', epoch: 0 };
  const lastSeen = async (): Promise<number | null | undefined> =>
    (await store.transaction((tx) => selectParticipant(tx, 'site-1')))?.last_seen_at;

  it('tells once when nothing was heard for as long as allowed', async () => {
    liveness.heard(site, 30_000);
    await clock.advance(29_999);
    liveness.heard(site, 30_000);
    await clock.advance(29_999);
    expect(silent).toEqual([]);
    await clock.advance(100_000);
    expect(silent).toEqual(['site-1']);
  });

  it('expects nothing of who has left', async () => {
    liveness.heard(site, 30_000);
    liveness.forget('site-1');
    await clock.advance(100_000);
    expect(silent).toEqual([]);
  });

  it('writes down who was seen, some seconds later and together', async () => {
    const seenAt = clock.now().getTime();
    liveness.heard(site, 30_000);
    await clock.advance(4_999);
    expect(await lastSeen()).toBeNull();
    await clock.advance(1);
    expect(await lastSeen()).toBe(seenAt);
  });

  it('writes down nothing that a session says which is not the newest', async () => {
    liveness.heard({ ...site, epoch: 1 }, 30_000);
    await clock.advance(5_000);
    expect(await lastSeen()).toBeNull();
  });

  it('goes on when the store fails', async () => {
    await store.close();
    liveness.heard(site, 30_000);
    await clock.advance(30_000);
    expect(silent).toEqual(['site-1']);
  });
});

describe('leases', () => {
  it('end a margin after their time, counted from the last renewal', async () => {
    const clock = new FakeClock();
    const leases = new Leases(clock, { ttlMs: 60_000, marginMs: 15_000 }, []);
    expect(leases.endsAt('site-1')).toBe(0);
    leases.granted('site-1');
    await clock.advance(10_000);
    leases.granted('site-1');
    expect(leases.endsAt('site-1')).toBe(85_000);
    clock.step(3_600_000);
    expect(leases.endsAt('site-1')).toBe(85_000);
  });

  it('are assumed of who may hold one from before a restart', () => {
    const leases = new Leases(new FakeClock(), { ttlMs: 60_000, marginMs: 15_000 }, ['site-1']);
    expect(leases.endsAt('site-1')).toBe(75_000);
    expect(leases.endsAt('site-2')).toBe(0);
  });
});
