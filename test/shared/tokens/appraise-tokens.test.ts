import { beforeEach, describe, expect, it } from '@jest/globals';
import type { EvidenceVerifier } from '@muster/shared/evidence/appraisal.js';
import {
  appraiseParticipant,
  openTokens,
  type ParticipantAppraisal,
  type ParticipantAppraisalInput,
} from '@muster/shared/tokens/appraise-tokens.js';
import { registryAudience } from '@muster/shared/tokens/attestation-token.js';
import { randomBytes } from 'node:crypto';
import { FakeVerifier } from '../../support/fake-verifier.js';
import { testPolicy } from '../../support/policies.js';
import { presenter, presentToken, trustDomain, type TokenChanges } from '../../support/tokens.js';

const at = new Date('2026-03-01T12:00:00Z');
const nonce = new Uint8Array(randomBytes(32));
const site1 = presenter('site-1');
const site2 = presenter('site-2');

describe('the appraisal of a participant', () => {
  let a: FakeVerifier;
  let b: FakeVerifier;

  beforeEach(() => {
    a = new FakeVerifier('x-a');
    b = new FakeVerifier('x-b');
  });

  const token = (changes: TokenChanges = {}): Promise<string> => presentToken(site1, nonce, at, changes);
  const appraise = async (
    tokens: readonly string[],
    changes: Partial<ParticipantAppraisalInput> = {},
  ): Promise<ParticipantAppraisal> =>
    appraiseParticipant({
      tokens: openTokens(tokens),
      identity: site1.identity,
      publicKey: site1.publicKey,
      nonce,
      audience: registryAudience(trustDomain),
      policy: testPolicy(),
      endorsements: { certificates: [], crls: [] },
      simulatedRoots: [],
      at,
      verifiers: [a, b],
      ...changes,
    });
  const codes = ({ reasons }: ParticipantAppraisal): string[] =>
    reasons.map(({ code, namespace = '' }) => `${code} ${namespace}`.trim());
  const both = testPolicy({ sites: [{ name: '*', require: ['x-a', 'x-b'] }] });

  it('accepts a fresh, bound token of every required namespace', async () => {
    const tokens = [await token(), await token({ namespace: 'x-b', lifetimeMs: 60_000 })];
    const result = await appraise(tokens, { policy: both });
    expect(result).toMatchObject({ proven: true, exempt: false, reasons: [] });
    expect(result.expiresAt).toEqual(new Date(at.getTime() + 60_000));
    expect(result.appraised.map(({ jws }) => jws)).toEqual(tokens);
  });

  it('row 8: a site that the policy does not list is refused, unless it is exempt by name', async () => {
    const listed = testPolicy({ sites: [{ name: 'site-9', require: ['x-a'] }] });
    expect(codes(await appraise([await token()], { policy: listed }))).toEqual([
      'POLICY_PARTICIPANT_UNLISTED',
    ]);
    const exempt = testPolicy({ sites: [{ name: 'site-1', exempt: true, because: 'a test' }] });
    expect(await appraise([], { policy: exempt })).toMatchObject({ proven: true, exempt: true });
    expect(a.calls).toBe(0);
  });

  it('row 9: missing, duplicate and unknown namespaces are invalid and the verifier is not called', async () => {
    expect(codes(await appraise([]))).toEqual(['ATTESTATION_MISSING x-a']);
    const twice = [await token(), await token({ lifetimeMs: 60_000 })];
    expect(codes(await appraise(twice))).toEqual(['NAMESPACE_DUPLICATE x-a']);
    const [same = ''] = twice;
    expect(codes(await appraise([same, same, same]))).toEqual(['NAMESPACE_DUPLICATE x-a']);
    expect(codes(await appraise([await token({ namespace: 'x-zz' })]))).toEqual([
      'NAMESPACE_UNKNOWN x-zz',
      'ATTESTATION_MISSING x-a',
    ]);
    expect(a.calls + b.calls).toBe(0);
  });

  it('row 9: one of several required namespaces that is left out is missed', async () => {
    const result = await appraise([await token()], { policy: both });
    expect(result.proven).toBe(false);
    expect(codes(result)).toEqual(['ATTESTATION_MISSING x-b']);
    expect(b.calls).toBe(0);
  });

  it('row 11: a token that answered another nonce is invalid', async () => {
    const result = await appraise([await token()], { nonce: new Uint8Array(32) });
    expect(codes(result)).toEqual(['TOKEN_NONCE_MISMATCH x-a']);
  });

  it('row 12: a token of one site presented by another is invalid', async () => {
    const stolen = await presentToken(site2, nonce, at);
    expect(codes(await appraise([stolen]))).toEqual(['TOKEN_ISSUER_MISMATCH x-a']);
    const relabelled = await presentToken({ ...site2, identity: site1.identity }, nonce, at);
    expect(codes(await appraise([relabelled]))).toEqual(['TOKEN_SIGNATURE_INVALID x-a']);
    const otherRole = await presentToken(
      { ...site1, identity: { ...site1.identity, role: 'server' } },
      nonce,
      at,
    );
    expect(codes(await appraise([otherRole]))).toEqual(['TOKEN_ISSUER_MISMATCH x-a']);
    expect(a.calls).toBe(0);
  });

  it('row 13: a verifier that throws proves nothing', async () => {
    const result = await appraise([await token({ tier: 'throws' })]);
    expect(result.proven).toBe(false);
    expect(codes(result)).toEqual(['VERIFIER_FAILED x-a']);
  });

  const refused: readonly [string, TokenChanges, string][] = [
    ['for another audience', { audience: 'spiffe://other.example' }, 'TOKEN_AUDIENCE_MISMATCH x-a'],
    [
      'issued too far in the future',
      { issuedAt: new Date(at.getTime() + 31_000) },
      'TOKEN_NOT_YET_VALID x-a',
    ],
    ['that has expired', { issuedAt: new Date(at.getTime() - 600_000) }, 'TOKEN_EXPIRED x-a'],
    ['that claims too long a life', { lifetimeMs: 601_000 }, 'TOKEN_LIFETIME_EXCESSIVE x-a'],
    ['whose evidence is bound to another nonce', { boundTo: new Uint8Array(32) }, 'SNP_REPORT_LENGTH x-a'],
    ['whose evidence is contraindicated', { tier: 'contraindicated' }, 'SNP_REPORT_LENGTH x-a'],
    ['whose evidence could not be appraised', { tier: 'none' }, 'SNP_REPORT_LENGTH x-a'],
    ['whose evidence is in the tier of warnings', { tier: 'warning' }, 'SNP_REPORT_LENGTH x-a'],
  ];
  it.each(refused)('refuses a token %s', async (_title, changes, code) => {
    const result = await appraise([await token(changes)]);
    expect(result.proven).toBe(false);
    expect(codes(result)).toEqual([code]);
  });

  it('accepts a clock that is ahead within the leeway', async () => {
    const ahead = await token({ issuedAt: new Date(at.getTime() + 30_000) });
    expect(await appraise([ahead])).toMatchObject({ proven: true });
  });

  it('accepts a warning where the policy says so', async () => {
    const lenient = testPolicy({ accept_warning: true });
    expect(await appraise([await token({ tier: 'warning' })], { policy: lenient })).toMatchObject({
      proven: true,
    });
  });

  it.each(['contraindicated', 'none'] as const)('accepts no more than a warning: not %s', async (tier) => {
    const lenient = testPolicy({ accept_warning: true });
    expect(await appraise([await token({ tier })], { policy: lenient })).toMatchObject({ proven: false });
  });

  it('refuses what a verifier does not affirm, even where it says no reason', async () => {
    const silent = new FakeVerifier('x-a');
    const verifier: EvidenceVerifier = {
      namespace: 'x-a',
      policySchema: silent.policySchema,
      endorsementQueries: () => [],
      appraise: (input) => ({ ...silent.appraise(input), status: 'none', reasons: [] }),
    };
    const result = await appraise([await token()], { verifiers: [verifier] });
    expect(result.proven).toBe(false);
    expect(codes(result)).toEqual(['ATTESTATION_MISSING x-a']);
  });

  it('lasts as long as the tokens that the policy requires', async () => {
    const extra = await token({ namespace: 'x-b', lifetimeMs: 60_000 });
    const result = await appraise([await token(), extra]);
    expect(result.expiresAt).toEqual(new Date(at.getTime() + 600_000));
  });

  it('refuses at an invalid date', async () => {
    expect(await appraise([await token()], { at: new Date(Number.NaN) })).toMatchObject({ proven: false });
  });

  it('reports hostile tokens and good ones side by side', async () => {
    const result = await appraise(['a.b.c', await token()]);
    expect(codes(result)).toEqual(['TOKEN_MALFORMED']);
    expect(result.appraised).toHaveLength(1);
  });

  it('says what is wrong with a token that could not be opened', async () => {
    const [head, payload] = (await token()).split('.');
    const [, , signature] = (await token({ lifetimeMs: 60_000 })).split('.');
    expect(codes(await appraise([`${head}.${payload}.${signature}`]))).toEqual([
      'TOKEN_SIGNATURE_INVALID',
      'ATTESTATION_MISSING x-a',
    ]);
  });
});
