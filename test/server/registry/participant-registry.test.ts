import { beforeEach, describe, expect, it } from '@jest/globals';
import type { RegisteredParticipant, RegisteredToken } from '@muster/server/ports.js';
import { ParticipantRegistry } from '@muster/server/registry/participant-registry.js';
import { standingOf } from '@muster/server/registry/standing.js';
import type { Store, Transaction } from '@muster/server/store/store.js';
import { reason } from '@muster/shared/reasons.js';
import { FakeClock } from '../../support/fake-clock.js';
import { testPolicy } from '../../support/policies.js';
import { memoryStore } from '../../support/store.js';

const at = new Date('2026-01-01T00:00:00Z');
const token = (changes: Partial<RegisteredToken> = {}): RegisteredToken => ({
  namespace: 'x-a',
  jws: 'j.w.s',
  issuedAt: at,
  expiresAt: new Date(at.getTime() + 600_000),
  appraisedAt: at,
  appraisal: {
    namespace: 'x-a',
    status: 'affirming',
    reasons: [],
    claims: { measurement: 'ab' },
    unchecked: [],
    trustworthiness: { hardware: 2 },
    simulated: false,
  },
  ear: 'e.a.r',
  evidenceDigest: 'd'.repeat(64),
  endorsements: {
    certificates: [Uint8Array.of(1, 2)],
    crls: [Uint8Array.of(3)],
    documents: [{ kind: 'ocsp', content: Uint8Array.of(4) }],
  },
  ...changes,
});

describe('a standing', () => {
  const participant: RegisteredParticipant = {
    name: 'site-1',
    role: 'site',
    enrolledAt: at,
    lastReasons: [],
    connected: true,
    silent: false,
    epoch: 1,
    agentVersion: '',
    tokens: [token()],
  };
  const codes = (changes: Partial<RegisteredParticipant>, policy = testPolicy(), now = at): string[] =>
    standingOf({ ...participant, ...changes }, { policy, at: now }).reasons.map(({ code }) => code);

  it('is good with an unexpired token of every required namespace', () => {
    expect(standingOf(participant, { policy: testPolicy(), at })).toEqual({
      admissible: true,
      exempt: false,
      reasons: [],
      expiresAt: new Date(at.getTime() + 600_000),
    });
  });

  it('row 4: is refused with words that say so, naming the participant', () => {
    const { reasons } = standingOf({ ...participant, tokens: [] }, { policy: testPolicy(), at });
    expect(reasons[0]).toMatchObject({ participant: 'site-1', namespace: 'x-a' });
    expect(reasons[0]?.message).toContain('not meeting CC requirements');
  });

  it('row 8: is refused to a site that is not listed, and granted to one that is exempt', () => {
    const listed = testPolicy({ sites: [{ name: 'site-9', require: ['x-a'] }] });
    expect(codes({}, listed)).toEqual(['POLICY_PARTICIPANT_UNLISTED']);
    const exempt = testPolicy({ sites: [{ name: 'site-1', exempt: true, because: 'a test' }] });
    expect(standingOf({ ...participant, tokens: [] }, { policy: exempt, at })).toEqual({
      admissible: true,
      exempt: true,
      reasons: [],
    });
  });

  it('gives every reason at once', () => {
    const changes = {
      enrolledAt: undefined as never,
      silent: true,
      quarantine: [reason('OPERATOR_QUARANTINE')],
      tokens: [],
      lastReasons: [reason('SNP_REPORT_LENGTH', { namespace: 'x-a' })],
    };
    expect(codes(changes)).toEqual([
      'PARTICIPANT_NOT_ENROLLED',
      'PARTICIPANT_QUARANTINED',
      'OPERATOR_QUARANTINE',
      'PARTICIPANT_SILENT',
      'ATTESTATION_MISSING',
      'SNP_REPORT_LENGTH',
    ]);
  });

  it('ends at the very moment of the expiry', () => {
    expect(codes({}, testPolicy(), new Date(at.getTime() + 599_999))).toEqual([]);
    expect(codes({}, testPolicy(), new Date(at.getTime() + 600_000))).toEqual(['ATTESTATION_EXPIRED']);
    expect(codes({}, testPolicy(), new Date(Number.NaN))).toEqual(['ATTESTATION_EXPIRED']);
  });

  it('is decided by the policy in force, not by the one that appraised', () => {
    const warned = token({ appraisal: { ...token().appraisal, status: 'warning' } });
    expect(codes({ tokens: [warned] })).toEqual(['ATTESTATION_MISSING']);
    expect(codes({ tokens: [warned] }, testPolicy({ accept_warning: true }))).toEqual([]);
    const both = testPolicy({ sites: [{ name: '*', require: ['x-a', 'x-b'] }] });
    expect(codes({}, both)).toEqual(['ATTESTATION_MISSING']);
  });
});

describe('the registry', () => {
  let store: Store;
  let registry: ParticipantRegistry;
  const clock = new FakeClock(at);
  const load = (): Promise<ParticipantRegistry> =>
    ParticipantRegistry.load(store, { clock, policy: testPolicy() });
  const change = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => store.transaction(work);

  beforeEach(async () => {
    store = await memoryStore();
    registry = await load();
    await change(async (tx) => {
      await registry.invite(tx, 'site-1');
      await registry.enroll(tx, 'site-1', Uint8Array.of(1));
      await registry.setTokens(tx, 'site-1', [token()], []);
    });
  });

  it('is the same after a restart, except that nobody is connected', async () => {
    await change((tx) => registry.openSession(tx, 'site-1', { epoch: 3, bootId: 'b', agentVersion: '1' }));
    expect(registry.find('site-1')?.connected).toBe(true);
    const again = (await load()).find('site-1');
    expect(again).toEqual({ ...registry.find('site-1'), connected: false });
  });

  it('does not change in memory when the transaction is rolled back', async () => {
    const before = registry.all();
    const rolledBack = change(async (tx) => {
      await registry.quarantine(tx, 'site-1', [reason('OPERATOR_QUARANTINE')]);
      await registry.setTokens(tx, 'site-1', [], []);
      await registry.invite(tx, 'site-2');
      throw new Error('rolled back');
    });
    await expect(rolledBack).rejects.toThrow('rolled back');
    expect(registry.all()).toEqual(before);
    expect((await load()).all()).toEqual(before);
  });

  it('bars a participant once', async () => {
    const bar = (): Promise<boolean> =>
      change((tx) => registry.quarantine(tx, 'site-1', [reason('OPERATOR_QUARANTINE')]));
    expect(await Promise.all([bar(), bar()])).toEqual([true, false]);
    expect(registry.standing('site-1').admissible).toBe(false);
  });

  it('does not say yes any longer than it is true, however often it has', async () => {
    const own = new FakeClock(at);
    const asked = await ParticipantRegistry.load(store, { clock: own, policy: testPolicy() });
    const isAdmissible = (): boolean => asked.standing('site-1').admissible;
    expect([isAdmissible(), isAdmissible()]).toEqual([true, true]);
    asked.setLiveness('site-1', { lastSeenAt: at });
    expect(isAdmissible()).toBe(true);
    asked.setLiveness('site-1', { silent: true });
    expect(isAdmissible()).toBe(false);
    asked.setLiveness('site-1', { silent: false });
    expect(isAdmissible()).toBe(true);
    await own.advance(599_999);
    asked.setLiveness('site-1', { lastSeenAt: at });
    expect(isAdmissible()).toBe(true);
    await own.advance(1);
    asked.setLiveness('site-1', { lastSeenAt: at });
    expect(isAdmissible()).toBe(false);
  });

  it('asks for fresh evidence after readmission', async () => {
    await change((tx) => registry.quarantine(tx, 'site-1', []));
    expect(await change((tx) => registry.readmit(tx, 'site-1'))).toBe(true);
    expect(await change((tx) => registry.readmit(tx, 'site-1'))).toBe(false);
    expect(registry.find('site-1')?.tokens).toEqual([]);
  });

  it('row 18: keeps the entry of a site when its name is invited again', async () => {
    const before = registry.find('site-1');
    await change((tx) => registry.invite(tx, 'site-1'));
    expect(registry.find('site-1')).toEqual(before);
  });

  it('keeps the tokens of a site that enrols again with the same key', async () => {
    await change((tx) => registry.enroll(tx, 'site-1', Uint8Array.of(1)));
    expect(registry.find('site-1')?.tokens).toHaveLength(1);
  });

  it('forgets a removed participant with all that it had', async () => {
    await change((tx) => registry.remove(tx, 'site-1'));
    expect(registry.find('site-1')).toBeUndefined();
    expect(registry.standing('site-1').reasons).toMatchObject([{ code: 'PARTICIPANT_UNKNOWN' }]);
    expect((await load()).all()).toEqual([]);
  });

  it('refuses to change what it does not know', async () => {
    await expect(change((tx) => registry.readmit(tx, 'nobody'))).rejects.toMatchObject({
      code: 'PARTICIPANT_UNKNOWN',
    });
    await expect(change((tx) => registry.setTokens(tx, 'nobody', [], []))).rejects.toMatchObject({
      code: 'PARTICIPANT_UNKNOWN',
    });
  });

  it('tells of every change until the listener is gone', async () => {
    const told: (boolean | undefined)[] = [];
    const end = registry.watch((_name, participant) =>
      told.push(participant && participant.quarantine !== undefined),
    );
    await change((tx) => registry.quarantine(tx, 'site-1', []));
    registry.setLiveness('site-1', { lastSeenAt: at });
    registry.setLiveness('site-1', { silent: true });
    await change((tx) => registry.remove(tx, 'site-1'));
    end();
    await change((tx) => registry.invite(tx, 'site-1'));
    expect(told).toEqual([true, true, undefined]);
  });
});
