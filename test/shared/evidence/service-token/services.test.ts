import { createPublicKey, webcrypto, type KeyObject } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { earVerifier } from '@muster/shared/evidence/service-token/ear.js';
import { itaVerifier } from '@muster/shared/evidence/service-token/ita.js';
import { maaVerifier } from '@muster/shared/evidence/service-token/maa.js';
import { boundReportData, runtimeData } from '@muster/shared/evidence/service-token/runtime-data.js';
import { azureAciVerifier } from '@muster/shared/evidence/x-az-aci/verifier.js';
import type { EvidenceVerifier } from '@muster/shared/evidence/appraisal.js';
import { x509 } from '@muster/shared/pki/x509.js';
import fc from 'fast-check';
import type { JSONWebKeySet } from 'jose';
import { verdict } from '../../../support/snp-case.js';
import {
  aciClaims,
  bound,
  freshness,
  itaClaims,
  itaReportData,
  maaClaims,
  nestedItaClaims,
  trusteeClaims,
  type Claims,
} from '../../../support/service-claims.js';
import {
  appraiseToken,
  keySet,
  nonce,
  reportData,
  rawToken,
  secondsFromNow,
  serviceKey,
  signToken,
  type TokenContext,
} from '../../../support/service-tokens.js';

type Case = readonly [string, string, Claims, Partial<TokenContext>?];
const rs256 = serviceKey('RS256');
const es256 = serviceKey('ES256');
const ps384 = serviceKey('PS384');
const keys = await keySet(rs256, { ...es256, kid: 'es' }, { ...ps384, kid: 'ps' });

/** Signs claims for a service and appraises them. */
function judge(
  verifier: EvidenceVerifier,
  base: Claims,
  key: { readonly alg: string },
): (changes?: Claims, context?: Partial<TokenContext>) => Promise<string> {
  const signer =
    { RS256: rs256, ES256: { ...es256, kid: 'es' }, PS384: { ...ps384, kid: 'ps' } }[key.alg] ?? rs256;
  const issuer = String(base['iss']);
  return async (changes = {}, context = {}) => {
    const token = await signToken({ ...base, ...changes }, signer);
    return verdict(await appraiseToken(verifier, token, { issuer, keys, ...context }));
  };
}

describe('x-az-aci', () => {
  const judged = judge(azureAciVerifier, aciClaims, { alg: 'RS256' });

  it('affirms a container group, under the policy that its host data names', async () => {
    expect(await judged()).toBe('affirming');
    expect(await judged({}, { policy: { host_data: ['AB'.repeat(32)] } })).toBe('affirming');
  });

  const refused: readonly Case[] = [
    [
      'a token of an endpoint that the policy does not name',
      'SERVICE_ISSUER_UNTRUSTED',
      {},
      { issuer: 'https://mine.attest.azure.net' },
    ],
    [
      'runtime data that is always the same',
      'SERVICE_NONCE',
      { 'x-ms-sevsnpvm-reportdata': boundReportData(Buffer.from('{}')) },
    ],
    [
      "the service's own nonce, which is bound to nothing",
      'SERVICE_NONCE',
      { 'x-ms-sevsnpvm-reportdata': boundReportData(Buffer.from('{}')), nonce },
    ],
    [
      'report data with something after the digest',
      'SERVICE_NONCE',
      { 'x-ms-sevsnpvm-reportdata': `${bound.slice(0, -2)}01` },
    ],
    ['no report data', 'SERVICE_NONCE_MISSING', { 'x-ms-sevsnpvm-reportdata': null }],
    [
      'a confidential VM that is no container group',
      'SERVICE_CLAIM',
      { 'x-ms-compliance-status': 'azure-compliant-cvm' },
    ],
    ['no compliance', 'SERVICE_CLAIM', { 'x-ms-compliance-status': null }],
    ['another kind of machine', 'SERVICE_CLAIM', { 'x-ms-attestation-type': 'sgx' }],
    ['a machine that can be debugged', 'SERVICE_DEBUG', { 'x-ms-sevsnpvm-is-debuggable': true }],
    [
      'a machine that does not say whether it can be debugged',
      'SERVICE_DEBUG',
      { 'x-ms-sevsnpvm-is-debuggable': null },
    ],
    ['a machine that can be migrated', 'SERVICE_CLAIM', { 'x-ms-sevsnpvm-migration-allowed': true }],
    ['VMPL 1', 'SERVICE_CLAIM', { 'x-ms-sevsnpvm-vmpl': 1 }],
    ['an unknown enforcement policy', 'SERVICE_CLAIM', {}, { policy: { host_data: ['cd'.repeat(32)] } }],
    ['no enforcement policy', 'SERVICE_CLAIM', { 'x-ms-sevsnpvm-hostdata': null }],
    [
      'a claim that the policy does not allow',
      'SERVICE_CLAIM',
      {},
      { policy: { claims: { '/x-ms-sevsnpvm-guestsvn': [2] } } },
    ],
    ['an expired token', 'SERVICE_TOKEN_EXPIRED', { exp: secondsFromNow(0) }],
  ];
  it.each(refused)('refuses %s: %s', async (_, code, changes, context = {}) => {
    expect(await judged(changes, context)).toBe(`contraindicated ${code}`);
  });

  it('refuses a token that is signed by an algorithm of its own choice', async () => {
    const claims = { ...aciClaims, iat: secondsFromNow(-1), exp: secondsFromNow(60) };
    const context = { issuer: String(aciClaims['iss']), keys };
    const foreign = await signToken(claims, { ...es256, kid: 'es' });
    for (const token of [foreign, rawToken({ alg: 'none', kid: rs256.kid }, claims)]) {
      expect(verdict(await appraiseToken(azureAciVerifier, token, context))).toBe(
        'contraindicated SERVICE_ALGORITHM',
      );
    }
  });
});

describe('maa', () => {
  const judged = judge(maaVerifier, maaClaims, { alg: 'RS256' });
  const tee = (changes: Claims): Claims => ({
    'x-ms-isolation-tee': { ...(maaClaims['x-ms-isolation-tee'] as Claims), ...changes },
  });

  it('affirms a confidential VM, and one whose report is bound directly', async () => {
    expect(await judged()).toBe('affirming');
    const direct = judge(maaVerifier, aciClaims, { alg: 'RS256' });
    expect(await direct()).toBe('affirming');
    expect(await direct({}, { policy: { compliance: ['azure-compliant-cvm'] } })).toBe(
      'contraindicated SERVICE_CLAIM',
    );
  });

  it('affirms a TDX machine', async () => {
    const tdx = {
      'x-ms-attestation-type': 'tdxvm',
      'x-ms-compliance-status': 'azure-compliant-cvm',
      tdx_td_attributes_debug: false,
    };
    expect(await judged({ 'x-ms-isolation-tee': tdx })).toBe('affirming');
    expect(await judged({ 'x-ms-isolation-tee': { ...tdx, tdx_td_attributes_debug: true } })).toBe(
      'contraindicated SERVICE_DEBUG',
    );
  });

  it('reads keys that the service publishes as certificates alone', async () => {
    const publish = (certificate: string): JSONWebKeySet => ({
      keys: [{ kty: 'RSA', kid: rs256.kid, use: 'sig', x5c: [certificate] }],
    });
    expect(await judged({}, { keys: publish(await certificateOf(rs256.privateKey)) })).toBe('affirming');
    expect(await judged({}, { keys: publish('AAAA') })).toBe('none SERVICE_KEY_MISSING');
  });

  const refused: readonly Case[] = [
    [
      'another nonce',
      'SERVICE_NONCE',
      { 'x-ms-runtime': { 'client-payload': { nonce: Buffer.from('00'.repeat(32)).toString('base64') } } },
    ],
    ["the service's own nonce alone", 'SERVICE_NONCE_MISSING', { 'x-ms-runtime': {}, nonce }],
    ['a debuggable VM', 'SERVICE_DEBUG', tee({ 'x-ms-sevsnpvm-is-debuggable': true })],
    ['a VM that does not comply', 'SERVICE_CLAIM', tee({ 'x-ms-compliance-status': 'none' })],
    ['a VM without hardware', 'SERVICE_CLAIM', tee({ 'x-ms-attestation-type': 'azurevm' })],
    [
      'an issuer that is not named',
      'SERVICE_ISSUER_UNTRUSTED',
      { iss: 'https://sharedeus.eus.attest.azure.net' },
    ],
  ];
  it.each(refused)('refuses %s: %s', async (_, code, changes, context = {}) => {
    expect(await judged(changes, context)).toBe(`contraindicated ${code}`);
  });

  it('has no policy of revocation, and says where one is given', () => {
    for (const { policySchema } of [maaVerifier, azureAciVerifier, itaVerifier, earVerifier]) {
      const { error } = policySchema.safeParse({ revocation: 'optional' });
      expect(error?.issues).toMatchObject([
        { path: ['revocation'], message: expect.stringContaining('has no effect here') },
      ]);
    }
  });

  it('trusts no issuer unless the policy names one', () => {
    expect(maaVerifier.policySchema.parse({}).issuers).toEqual([]);
    expect(azureAciVerifier.policySchema.parse({}).issuers).toEqual([]);
    expect(earVerifier.policySchema.parse({}).issuers).toEqual([]);
  });
});

describe('ita', () => {
  const judged = judge(itaVerifier, itaClaims, { alg: 'PS384' });

  it('affirms both versions, and RS256', async () => {
    expect(await judged()).toBe('affirming');
    expect(await judge(itaVerifier, nestedItaClaims, { alg: 'PS384' })()).toBe('affirming');
    expect(await judge(itaVerifier, itaClaims, { alg: 'RS256' })()).toBe('affirming');
    expect(await judged({}, { policy: { policies: ['one'] } })).toBe('affirming');
    expect(
      await judged({ attester_tcb_status: 'OutOfDate' }, { policy: { tcb_statuses: ['OutOfDate'] } }),
    ).toBe('affirming');
  });

  it('affirms report data that was held as it is', async () => {
    const plain = itaReportData(reportData);
    expect(await judged({ attester_held_data: reportData.toString('base64'), tdx_report_data: plain })).toBe(
      'affirming',
    );
  });

  const elsewhere = runtimeData(Buffer.alloc(64, 1));
  const refused: readonly Case[] = [
    [
      'held data that the hardware did not sign',
      'SERVICE_NONCE',
      { attester_held_data: elsewhere.toString('base64') },
    ],
    [
      'held data of another round',
      'SERVICE_NONCE',
      {
        attester_held_data: elsewhere.toString('base64'),
        tdx_report_data: itaReportData(elsewhere),
      },
    ],
    ["another nonce of the service's", 'SERVICE_NONCE', { verifier_nonce: { ...freshness, val: 'AAAA' } }],
    ['no report data', 'SERVICE_NONCE_MISSING', { tdx_report_data: null }],
    ['no held data', 'SERVICE_NONCE_MISSING', { attester_held_data: null }],
    ['an out-of-date TCB', 'SERVICE_TCB_STATUS', { attester_tcb_status: 'OutOfDate' }],
    ['a revoked TCB', 'SERVICE_TCB_STATUS', { attester_tcb_status: 'Revoked' }],
    ['no TCB status', 'SERVICE_TCB_STATUS', { attester_tcb_status: null }],
    ['a debuggable machine', 'SERVICE_DEBUG', { tdx_is_debuggable: true }],
    ['another machine', 'SERVICE_CLAIM', { attester_type: 'SGX' }],
    ['a policy that did not match', 'SERVICE_CLAIM', {}, { policy: { policies: ['two'] } }],
  ];
  it.each(refused)('refuses %s: %s', async (_, code, changes, context = {}) => {
    expect(await judged(changes, context)).toBe(`contraindicated ${code}`);
  });

  it('never allows a revoked TCB', () => {
    expect(itaVerifier.policySchema.safeParse({ tcb_statuses: ['Revoked'] }).success).toBe(false);
  });
});

describe('ear', () => {
  const veraison: Claims = {
    nbf: null,
    exp: null,
    eat_profile: 'tag:github.com,2023:veraison/ear',
    eat_nonce: Buffer.from(nonce, 'hex').toString('base64url'),
    'ear.verifier-id': { developer: 'https://veraison-project.org', build: 'vts 0.0.1' },
    submods: { PARSEC_TPM: { 'ear.status': 2, 'ear.trustworthiness-vector': { 'instance-identity': 2 } } },
  };
  const judged = judge(earVerifier, trusteeClaims, { alg: 'ES256' });
  const judgedVeraison = judge(earVerifier, veraison, { alg: 'ES256' });
  const developer = { issuer: 'https://veraison-project.org' };
  const status = (value: unknown): Claims => ({
    submods: { cpu0: { ...(trusteeClaims['submods'] as { cpu0: Claims }).cpu0, 'ear.status': value } },
  });

  it('affirms results of Trustee and of Veraison', async () => {
    expect(await judged()).toBe('affirming');
    expect(await judgedVeraison({}, developer)).toBe('affirming');
    expect(await judgedVeraison({ eat_nonce: ['AAAA', nonce] }, developer)).toBe('affirming');
    expect(await judged({}, { policy: { submodules: ['cpu0'] } })).toBe('affirming');
  });

  it('passes warnings on', async () => {
    expect(await judged(status('warning'))).toBe('warning SERVICE_RESULT');
    expect(await judged(status(32))).toBe('warning SERVICE_RESULT');
  });

  const refused: readonly Case[] = [
    ['a contraindicated submodule', 'SERVICE_RESULT', status('contraindicated')],
    ['a contraindicated submodule, by number', 'SERVICE_RESULT', status(96)],
    ['a submodule without a result', 'SERVICE_RESULT', status('none')],
    ['an unknown tier', 'SERVICE_RESULT', status(3)],
    ['a tier that is the name of a property', 'SERVICE_RESULT', status('constructor')],
    ['no tier', 'SERVICE_RESULT', status(null)],
    ['a missing submodule', 'SERVICE_RESULT', {}, { policy: { submodules: ['gpu0'] } }],
    ['another nonce', 'SERVICE_NONCE', { eat_nonce: '00'.repeat(32) }],
    ['another profile', 'SERVICE_CLAIM', { eat_profile: 'tag:example.com,2026:mine' }],
    ['no profile', 'SERVICE_CLAIM', { eat_profile: null }],
    ['another issuer', 'SERVICE_ISSUER_UNTRUSTED', { iss: 'https://elsewhere.example' }],
  ];
  it.each(refused)('refuses %s: %s', async (_, code, changes, context = {}) => {
    expect(await judged(changes, context)).toBe(`contraindicated ${code}`);
  });

  it('refuses a result about nothing, and one that one submodule of two does not bind', async () => {
    expect(await judged({ submods: {} })).toBe('contraindicated SERVICE_NONCE_MISSING SERVICE_RESULT');
    const { cpu0 } = trusteeClaims['submods'] as { cpu0: Claims };
    expect(await judged({ submods: { cpu0, gpu0: { 'ear.status': 'affirming' } } })).toBe(
      'contraindicated SERVICE_NONCE_MISSING',
    );
  });

  it('lets a result without an expiry count for ten minutes', async () => {
    const result = (iat: number): Promise<string> => judgedVeraison({ iat: secondsFromNow(iat) }, developer);
    expect(await result(-599)).toBe('affirming');
    expect(await result(-600)).toBe('contraindicated SERVICE_TOKEN_EXPIRED');
  });
});

it('whatever comes as a token is answered, never thrown at, and never affirmed', async () => {
  const texts = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.json(),
    fc
      .tuple(fc.jsonValue(), fc.jsonValue())
      .map(([header, claims]) => rawToken(header, claims, Buffer.alloc(64))),
  );
  await fc.assert(
    fc.asyncProperty(
      texts,
      fc.constantFrom(maaVerifier, itaVerifier, earVerifier, azureAciVerifier),
      async (text, verifier) => {
        const { status } = await appraiseToken(verifier, text, {
          issuer: 'https://service.example',
          keys,
        });
        return status === 'contraindicated' || status === 'none';
      },
    ),
    { numRuns: 200 },
  );
});

it('a token that is nested more deeply than anything can be written again is not read', async () => {
  const claims = (depth: number): string =>
    `{"iat":1,"iss":"i","deep":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  const verdictOf = async (depth: number): Promise<string> => {
    const token = ['{"alg":"RS256"}', claims(depth)].map((part) => Buffer.from(part).toString('base64url'));
    return verdict(await appraiseToken(maaVerifier, [...token, 'AAAA'].join('.'), { issuer: 'j', keys }));
  };
  expect(await verdictOf(15)).toBe('contraindicated SERVICE_ISSUER_UNTRUSTED');
  expect(await verdictOf(17)).toBe('contraindicated SERVICE_TOKEN_UNREADABLE');
  expect(await verdictOf(60_000)).toBe('contraindicated SERVICE_TOKEN_UNREADABLE');
});

it('any changed character of a token is refused', async () => {
  const token = await signToken(aciClaims, rs256);
  const context = { issuer: String(aciClaims['iss']), keys };
  const change = fc.record({
    at: fc.integer({ min: 0, max: token.length - 3 }),
    character: fc.constantFrom('A', 'k', '7', '_', '.'),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ at, character }) => {
      const changed = `${token.slice(0, at)}${character}${token.slice(at + 1)}`;
      const { status } = await appraiseToken(azureAciVerifier, changed, context);
      return changed === token || status !== 'affirming';
    }),
    { numRuns: 200 },
  );
});

/** A certificate of a key by itself, DER in base64. */
async function certificateOf(privateKey: KeyObject): Promise<string> {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=service',
    signingAlgorithm: algorithm,
    keys: {
      privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign']),
      publicKey: await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']),
    },
  });
  return Buffer.from(certificate.rawData).toString('base64');
}
