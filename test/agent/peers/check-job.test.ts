import { JobChecker, type Judgement, type TokenFetcher } from '@muster/agent/peers/check-job.js';
import type { Expectation } from '@muster/agent/peers/appraiser.js';
import { tokenDigests } from '@muster/agent/peers/verified-tokens.js';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { refusal } from '@muster/shared/errors.js';
import type { TokenDigests } from '@muster/shared/gen/muster/v1/agent.js';
import { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';
import { reason } from '@muster/shared/reasons.js';
import { createHash } from 'node:crypto';
import { FakeClock } from '../../support/fake-clock.js';

const start = new Date('2026-03-01T12:00:00Z');
const lifetimeMs = 600_000;
const presented = (name: string): ParticipantTokens => ({
  ...ParticipantTokens.create(),
  participant: name,
  tokens: [{ namespace: 'x-a', jws: `tokens of ${name}` }],
});
const entry = (name: string, change: Partial<TokenDigests> = {}): TokenDigests => ({
  participant: name,
  server: name === 'muster',
  digests: tokenDigests(presented(name)).map((digest) => Buffer.from(digest)),
  ...change,
});
const everybody = [entry('muster'), entry('site-1'), entry('site-2')];

describe('the check of a job at a site', () => {
  let clock: FakeClock;
  let checker: JobChecker;
  let appraised: Expectation[];
  let asked: string[];
  let unproven: string[];
  let exempt: string[];
  let expiries: Record<string, number>;

  beforeEach(() => {
    clock = new FakeClock(start);
    appraised = [];
    asked = [];
    unproven = [];
    exempt = [];
    expiries = {};
    checker = new JobChecker({
      own: { trustDomain: 'hospitals.example', role: 'site', name: 'site-1' },
      clock,
      appraise: (tokens, expectation) => {
        appraised.push(expectation);
        const { name } = expectation.identity;
        if (exempt.includes(name)) {
          return Promise.resolve({ proven: true, exempt: true, reasons: [], appraised: [] });
        }
        const proven = tokens !== undefined && !unproven.includes(name);
        const reasons = proven ? [] : [reason('ATTESTATION_MISSING')];
        const expiresAt = new Date(start.getTime() + (expiries[name] ?? lifetimeMs));
        return Promise.resolve({ proven, exempt: false, reasons, appraised: [], expiresAt });
      },
    });
  });

  const fetch: TokenFetcher = (names) => {
    asked.push(...names);
    return Promise.resolve(new Map(names.map((name) => [name, presented(name)])));
  };
  const judge = (
    participants: readonly TokenDigests[],
    fetcher = fetch,
    withinMs = 60_000,
    server = 'muster',
  ): Promise<Judgement> => checker.judge(participants, server, fetcher, withinMs);
  const codes = ({ reasons }: Judgement): string[] => reasons.map(({ code }) => code);

  it('lasts until the first proof ends, and names the sites', async () => {
    expiries = { 'site-2': 1_000 };
    expect(await judge(everybody)).toEqual({
      reasons: [],
      sites: ['site-1', 'site-2'],
      until: new Date(start.getTime() + 1_000),
    });
    expect(clock.timers).toBe(0);
    expect(appraised.map(({ identity: { role, name } }) => `${role} ${name}`)).toEqual([
      'server muster',
      'site site-1',
      'site site-2',
    ]);
  });

  it('asks for no tokens of those who have none, who may be exempt', async () => {
    exempt = ['site-2'];
    expect(codes(await judge([entry('muster'), entry('site-1'), entry('site-2', { digests: [] })]))).toEqual(
      [],
    );
    expect(asked).toEqual(['muster', 'site-1']);
    await judge([entry('muster'), entry('site-1'), entry('site-2', { digests: [] })]);
    expect(asked).toEqual(['muster', 'site-1']);
  });

  it('lasts without end where everybody is exempt', async () => {
    exempt = ['muster', 'site-1', 'site-2'];
    expect((await judge(everybody)).until).toBeUndefined();
  });

  it.each([0, -1, Number.NaN])('is a no at once, and asks for nothing, within %d ms', async (withinMs) => {
    expect(codes(await judge(everybody, fetch, withinMs))).toEqual(['JOB_CHECK_TIMEOUT']);
    expect(asked).toEqual([]);
  });

  it.each<[string, string, readonly TokenDigests[]]>([
    ['an invalid name', 'no valid name', [...everybody, entry('Site 3')]],
    ['a second server', 'the server', [...everybody, entry('muster-2', { server: true })]],
    ['another server', 'the server', [entry('muster-2', { server: true }), entry('site-1')]],
    ['the server as a site', 'the server', [entry('muster', { server: false }), entry('site-1')]],
    ['a name twice', 'named twice', [...everybody, entry('site-2')]],
    [
      'more than 1,000',
      'more than 1,000',
      [...everybody, ...Array.from({ length: 998 }, (_, n) => entry(`other-${n}`))],
    ],
  ])('is a no, and asks for nothing, with %s', async (_what, why, participants) => {
    const judgement = await judge(participants);
    expect(codes(judgement)).toEqual(['JOB_CHECK_INCOMPLETE']);
    expect(judgement.reasons[0]?.message).toContain(why);
    expect([asked, appraised]).toEqual([[], []]);
  });

  it('has room for 1,000 participants', async () => {
    const others = Array.from({ length: 997 }, (_, n) => entry(`other-${n}`));
    expect(codes(await judge([...everybody, ...others]))).toEqual([]);
  });

  it('does not take a server of its own name for itself', async () => {
    const list = [entry('site-1', { server: true }), entry('site-2')];
    const { reasons } = await judge(list, fetch, 60_000, 'site-1');
    expect(reasons[0]?.message).toContain('this site');
  });

  it('verifies what it has verified again once that has expired', async () => {
    await judge(everybody);
    clock.step(lifetimeMs - 1);
    await judge(everybody);
    expect(appraised).toHaveLength(3);
    clock.step(1);
    await judge(everybody);
    expect(appraised).toHaveLength(6);
  });

  it('lasts no longer for what it knows already', async () => {
    expiries = { 'site-2': 1_000 };
    await judge(everybody);
    expect((await judge(everybody)).until).toEqual(new Date(start.getTime() + 1_000));
  });

  it('verifies again what was not proven', async () => {
    unproven = ['site-2'];
    expect(codes(await judge(everybody))).toEqual(['ATTESTATION_MISSING']);
    expect(codes(await judge(everybody))).toEqual(['ATTESTATION_MISSING']);
  });

  it('remembers tokens as those of the participant, the role and the content that it has verified', async () => {
    await judge(everybody);
    const others = createHash('sha256').update('other tokens').digest();
    unproven = ['site-2', 'site-3'];
    const renewed = entry('site-2', { digests: [others] });
    expect(codes(await judge([entry('muster'), entry('site-1'), renewed]))).toEqual(['ATTESTATION_MISSING']);
    const borrowed = entry('site-3', { digests: entry('site-2').digests });
    expect(codes(await judge([entry('muster'), entry('site-1'), borrowed]))).toEqual(['ATTESTATION_MISSING']);
    const asServer = entry('site-2', { server: true });
    expect(codes(await judge([asServer, entry('site-1')], fetch, 60_000, 'site-2'))).toEqual([
      'ATTESTATION_MISSING',
    ]);
  });

  it('is a no where the tokens that come are none', async () => {
    const empty = (name: string): ParticipantTokens => ({ ...presented(name), tokens: [] });
    const fetchNone: TokenFetcher = (names) =>
      Promise.resolve(new Map(names.map((name) => [name, empty(name)])));
    expect(codes(await judge(everybody, fetchNone))).toEqual(everybody.map(() => 'JOB_CHECK_INCOMPLETE'));
  });

  it('is a no when tokens cannot be fetched, for the reason given', async () => {
    expect(codes(await judge(everybody, () => Promise.reject(new Error('torn'))))).toEqual([
      'JOB_CHECK_INCOMPLETE',
    ]);
    const refusing: TokenFetcher = () => Promise.reject(refusal('RATE_LIMITED'));
    expect(codes(await judge(everybody, refusing))).toEqual(['RATE_LIMITED']);
  });

  it.each([
    [5_000, 5_000],
    [3_600_000, 120_000],
  ])('is a no when it is given %d ms and takes %d', async (withinMs, takesMs) => {
    const silent: TokenFetcher = (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    let ended = false;
    const judged = judge(everybody, silent, withinMs).finally(() => (ended = true));
    await clock.advance(takesMs - 1);
    expect(ended).toBe(false);
    await clock.advance(1);
    expect(codes(await judged)).toEqual(['JOB_CHECK_TIMEOUT']);
  });

  it('is a no when time runs out while it verifies', async () => {
    const late: TokenFetcher = async (names, signal) => {
      await clock.advance(5_000);
      return fetch(names, signal);
    };
    expect(codes(await judge(everybody, late, 5_000))).toEqual(['JOB_CHECK_TIMEOUT']);
    expect(appraised).toEqual([]);
  });
});
