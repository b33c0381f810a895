import { generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Appraiser, type Presentation, type Verdict } from '@muster/server/attestation/appraisal.js';
import type { EndorsementSource, Resolution } from '@muster/shared/endorsements/resolve.js';
import type { Endorsements } from '@muster/shared/evidence/appraisal.js';
import { reason } from '@muster/shared/reasons.js';
import { FakeClock } from '../../support/fake-clock.js';
import { FakeVerifier } from '../../support/fake-verifier.js';
import { testPolicy } from '../../support/policies.js';
import { presenter, presentToken, trustDomain, type TokenChanges } from '../../support/tokens.js';

const site = presenter('site-1');
const nonce = new Uint8Array(32).fill(7);
const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const needs = 'vcek/v1/Milan/chain';
const nothing: Endorsements = { certificates: [], crls: [] };
const late: Resolution = { endorsements: nothing, deferred: [reason('ATTESTATION_DEFERRED')] };

describe("the server's verdict", () => {
  const clock = new FakeClock(new Date('2026-03-01T12:00:00Z'));
  let resolution: Resolution;
  let observed: string[];
  let vouched: string[];

  beforeEach(() => {
    resolution = late;
    observed = [];
    vouched = [];
  });

  const token = (namespace: string, changes: TokenChanges = {}): Promise<string> =>
    presentToken(site, nonce, clock.now(), { namespace, ...changes });
  const judge = (tokens: readonly string[], change: Partial<Presentation> = {}): Promise<Verdict> => {
    const endorsements: EndorsementSource = { resolve: async () => resolution, doubt: () => undefined };
    const appraiser = new Appraiser({
      policy: testPolicy({ sites: [{ name: '*', require: ['x-a', 'x-b'] }] }),
      policyId: 'sha256:0',
      simulatedRoots: [],
      endorsements,
      vouch: (participant) => {
        vouched.push(participant);
        return Promise.resolve(undefined);
      },
      trustBundle: () => [],
      observe: (namespace, outcome) => observed.push(`${namespace} ${outcome}`),
      signer: { issuer: 'spiffe://x', trustDomain, keyId: 'k', key, jwks: '' },
      clock,
      verifiers: [new FakeVerifier('x-a'), new FakeVerifier('x-b')],
    });
    const { publicKey } = site;
    return appraiser.appraise({
      participant: { name: 'site-1', role: 'site' },
      publicKey,
      tokens,
      nonce,
      ...change,
    });
  };
  const codes = (verdict: Verdict): string[] =>
    verdict.outcome === 'accepted' ? [] : verdict.reasons.map(({ code }) => code);

  it('accepts what proves every namespace, until the first token ends', async () => {
    const verdict = await judge([await token('x-a'), await token('x-b', { lifetimeMs: 60_000 })]);
    expect(verdict).toMatchObject({
      outcome: 'accepted',
      expiresAt: new Date(clock.now().getTime() + 60_000),
      tokens: [{ namespace: 'x-a' }, { namespace: 'x-b' }],
    });
    expect([observed, vouched]).toEqual([['x-a accepted', 'x-b accepted'], ['site-1']]);
  });

  it('is deferred while all that is missing could not be had', async () => {
    resolution = { ...late, retryAfterMs: 60_000 };
    const tokens = [await token('x-a', { needs }), await token('x-b', { lifetimeMs: 60_000 })];
    const verdict = await judge(tokens);
    expect(verdict).toMatchObject({
      outcome: 'deferred',
      retryAfterMs: 60_000,
      expiresAt: new Date(clock.now().getTime() + 60_000),
    });
    expect(codes(verdict)[0]).toBe('ATTESTATION_DEFERRED');
    resolution = { ...late, retryAfterMs: 1 };
    expect(await judge(tokens)).toMatchObject({ outcome: 'deferred', retryAfterMs: 15_000 });
  });

  it('is no, and not deferred, where something else is wrong, too', async () => {
    const lacking = await token('x-a', { needs });
    const refused = [
      await token('x-b', { tier: 'contraindicated' }),
      await token('x-b', { audience: 'spiffe://other.example' }),
      await token('x-zz'),
    ];
    for (const other of refused) {
      expect(await judge([lacking, other])).toMatchObject({ outcome: 'rejected' });
    }
    expect(await judge([lacking])).toMatchObject({ outcome: 'rejected' });
    expect(await judge([await token('x-a', { tier: 'contraindicated' }), await token('x-b')])).toMatchObject({
      outcome: 'rejected',
      evidence: { 'x-a': expect.stringMatching(/^[0-9a-f]{64}$/), 'x-b': expect.any(String) },
    });
  });

  it('is no where nothing is to be had later', async () => {
    resolution = { endorsements: nothing, deferred: [] };
    const verdict = await judge([await token('x-a', { needs }), await token('x-b')]);
    expect(verdict.outcome).toBe('rejected');
  });

  it('is no for the answer to another challenge, by another key or of another participant', async () => {
    const tokens = [await token('x-a'), await token('x-b')];
    const [other, twice] = [presenter('site-2'), (code: string) => [code, code]];
    expect(codes(await judge(tokens, { nonce: new Uint8Array(32) }))).toEqual(twice('TOKEN_NONCE_MISMATCH'));
    expect(codes(await judge(tokens, { publicKey: other.publicKey }))).toEqual(
      twice('TOKEN_SIGNATURE_INVALID'),
    );
    const participant = { name: 'site-2', role: 'site' } as const;
    expect(codes(await judge(tokens, { participant }))).toEqual(twice('TOKEN_ISSUER_MISMATCH'));
  });

  it('is counted under the namespaces that a verifier knows, or under none', async () => {
    await judge(['garbage', await token('x-zz')]);
    expect(observed).toEqual(['none rejected']);
  });
});
