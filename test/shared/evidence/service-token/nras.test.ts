import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { earClaims } from '@muster/shared/evidence/ear.js';
import { decodeJwt } from 'jose';
import { nrasVerifier } from '@muster/shared/evidence/service-token/nras.js';
import { verdict } from '../../../support/snp-case.js';
import { nrasDevice, type Claims } from '../../../support/service-claims.js';
import {
  appraiseToken,
  keySet,
  nonce,
  rawToken,
  secondsFromNow,
  serviceKey,
  signToken,
  type ServiceKey,
  type TokenContext,
} from '../../../support/service-tokens.js';

const issuer = 'https://nras.attestation.nvidia.com';
const key = serviceKey('ES384');
const keys = await keySet(key);

const chain = { 'x-nvidia-cert-status': 'valid', 'x-nvidia-cert-ocsp-status': 'good' };

/** What differs from an answer that is affirmed. */
interface Answer {
  readonly main?: Claims;
  readonly devices?: readonly Claims[];
  readonly key?: ServiceKey;
  readonly header?: Claims;
  /** Changes the tokens of the devices after their digests were taken. */
  readonly alter?: (devices: Record<string, string>) => void;
}

async function answer({
  main = {},
  devices = [nrasDevice(0), nrasDevice(1)],
  header = {},
  alter,
  ...rest
}: Answer = {}): Promise<string> {
  const signer = rest.key ?? key;
  const tokens = Object.fromEntries(
    await Promise.all(devices.map(async (claims, index) => [`GPU-${index}`, await signToken(claims, key)])),
  ) as Record<string, string>;
  const digest = (token: string): string => createHash('sha256').update(token).digest('hex');
  const submods = Object.fromEntries(
    Object.entries(tokens).map(([name, token]) => [name, ['DIGEST', ['SHA-256', digest(token)]]]),
  );
  const overall = { iss: issuer, eat_nonce: nonce, 'x-nvidia-overall-att-result': true, submods, ...main };
  const token = await signToken(overall, signer, header);
  alter?.(tokens);
  return JSON.stringify([['JWT', token], tokens]);
}

async function judged(changes: Answer = {}, context: Partial<TokenContext> = {}): Promise<string> {
  return verdict(await appraiseToken(nrasVerifier, await answer(changes), { issuer, keys, ...context }));
}

describe('genuine answers', () => {
  it('affirms them, and shows their claims', async () => {
    const appraisal = await appraiseToken(nrasVerifier, await answer(), { issuer, keys });
    expect(appraisal).toMatchObject({
      status: 'affirming',
      unchecked: [],
      claims: { token: { iss: issuer }, devices: { 'GPU-1': { measres: 'success' } } },
      trustworthiness: { hardware: 2, executables: 0 },
    });
  });

  it('takes keys that the verifier fetched itself', async () => {
    const evidence = { namespace: 'nras', evidence: new TextEncoder().encode(await answer()) };
    const appraise = async (from: string): Promise<string> =>
      verdict(
        await nrasVerifier.appraise({
          evidence,
          endorsements: { certificates: [], crls: [] },
          policy: nrasVerifier.policySchema.parse({}),
          at: new Date(secondsFromNow(0) * 1000),
          simulatedRoots: [],
          serviceKeys: [{ issuer: from, keys }],
        }),
      );
    expect(await appraise(issuer)).toBe('affirming');
    expect(await appraise('https://elsewhere.example')).toBe('none SERVICE_KEY_MISSING');
  });

  it('applies the policy about claims to every device', async () => {
    const policy = (models: readonly string[]) => ({ policy: { claims: { '/hwmodel': models } } });
    expect(await judged({}, policy(['GH100 A01 GSP BROM']))).toBe('affirming');
    expect(await judged({}, policy(['GB100']))).toBe('contraindicated SERVICE_CLAIM SERVICE_CLAIM');
  });

  it('warns where the service warns', async () => {
    const warned = nrasDevice(1, { 'x-nvidia-attestation-warning': 'a certificate is about to expire' });
    expect(await judged({ devices: [nrasDevice(0), warned] })).toBe('warning SERVICE_DEVICE_WARNING');
  });

  it('counts the devices', async () => {
    const wanted = (devices: object): Promise<string> => judged({}, { policy: { devices } });
    expect(await wanted({ minimum: 2 })).toBe('affirming');
    expect(await wanted({ exactly: 2 })).toBe('affirming');
    expect(await wanted({ minimum: 3 })).toBe('contraindicated SERVICE_DEVICES');
    expect(await wanted({ exactly: 1 })).toBe('contraindicated SERVICE_DEVICES');
    expect(await judged({ devices: [] }, { policy: { devices: { minimum: 0 } } })).toBe(
      'contraindicated SERVICE_DEVICES',
    );
  });
});

describe('devices', () => {
  const wrong = nrasDevice(1, { measres: 'fail', 'x-nvidia-gpu-driver-version': '1' });

  it('have a result each, of their own', async () => {
    const policy = { claims: { '/x-nvidia-gpu-driver-version': ['550.90.07'] } };
    const appraisal = await appraiseToken(nrasVerifier, await answer({ devices: [nrasDevice(0), wrong] }), {
      issuer,
      keys,
      policy,
    });
    expect(appraisal).toMatchObject({
      status: 'contraindicated',
      reasons: [
        { code: 'SERVICE_DEVICE', path: 'GPU-1.measres' },
        { code: 'SERVICE_CLAIM', path: 'GPU-1/x-nvidia-gpu-driver-version' },
      ],
      devices: [
        { name: 'GPU-0', status: 'affirming', reasons: [], claims: { measres: 'success' } },
        {
          name: 'GPU-1',
          status: 'contraindicated',
          reasons: [{ path: 'measres' }, { path: '/x-nvidia-gpu-driver-version' }],
          trustworthiness: { hardware: 96 },
        },
      ],
    });
  });

  it('are submodules of our own attestation result', async () => {
    const warned = nrasDevice(1, { 'x-nvidia-attestation-warning': 'soon' });
    const appraisal = await appraiseToken(nrasVerifier, await answer({ devices: [nrasDevice(0), warned] }), {
      issuer,
      keys,
    });
    const { submods } = earClaims([appraisal], {
      verifierId: { developer: 'd', build: 'b' },
      issuedAt: new Date(0),
      policyId: 'p',
    });
    const statuses = Object.entries(submods).map(([name, entry]) => [name, entry['ear.status']]);
    expect(statuses).toEqual([
      ['nras', 'warning'],
      ['nras/GPU-0', 'affirming'],
      ['nras/GPU-1', 'warning'],
    ]);
  });

  it('have no result before every signature holds', async () => {
    const appraisal = await appraiseToken(nrasVerifier, await answer(), { issuer });
    expect(appraisal.devices).toBeUndefined();
  });

  const refusedDevices: readonly (readonly [string, object, (token: string) => Promise<string>])[] = [
    [
      'signed with another key',
      { code: 'SERVICE_SIGNATURE', path: 'GPU-1' },
      () => signToken(nrasDevice(1), { ...serviceKey('ES384'), kid: key.kid }),
    ],
    [
      'not signed',
      { code: 'SERVICE_ALGORITHM', path: 'GPU-1' },
      (token) => Promise.resolve(rawToken({ alg: 'none' }, decodeJwt(token))),
    ],
    [
      'signed with another algorithm',
      { code: 'SERVICE_ALGORITHM', path: 'GPU-1' },
      () => signToken(nrasDevice(1), serviceKey('ES256', key.kid)),
    ],
    [
      'changed',
      { code: 'SERVICE_SIGNATURE', path: 'GPU-1' },
      (token) => {
        const [header = '', , signature = ''] = token.split('.');
        const claims = Buffer.from(JSON.stringify({ ...decodeJwt(token), measres: 'success' }));
        return Promise.resolve([header, claims.toString('base64url'), signature].join('.'));
      },
    ],
    [
      'of another answer of the service',
      { code: 'SERVICE_DEVICES', path: 'GPU-1' },
      () => signToken(nrasDevice(1, { jti: 'another' }), key),
    ],
    [
      'expired',
      { code: 'SERVICE_TOKEN_EXPIRED', path: 'GPU-1' },
      () => signToken(nrasDevice(1, { exp: secondsFromNow(-1) }), key),
    ],
    [
      'of another issuer',
      { code: 'SERVICE_ISSUER_UNTRUSTED', path: 'GPU-1' },
      () => signToken(nrasDevice(1, { iss: 'https://elsewhere.example' }), key),
    ],
  ];

  it.each(refusedDevices)('are refused and named when their token is %s', async (_, expected, replace) => {
    const given = JSON.parse(await answer({ devices: [nrasDevice(0), wrong] })) as [
      unknown,
      Record<string, string>,
    ];
    const token = await replace(given[1]['GPU-1'] ?? '');
    const text = JSON.stringify([given[0], { ...given[1], 'GPU-1': token }]);
    const { status, reasons } = await appraiseToken(nrasVerifier, text, { issuer, keys });
    expect(status).toBe('contraindicated');
    expect(reasons[0]).toMatchObject(expected);
  });

  it.each([
    ['missing', () => ({ alter: (all: Record<string, string>) => Reflect.deleteProperty(all, 'GPU-1') })],
    ['the same as another', () => ({ devices: [nrasDevice(0), nrasDevice(0)] })],
    ['without an identity', () => ({ devices: [nrasDevice(0), nrasDevice(1, { ueid: null })] })],
  ])('are named when they are %s', async (_, changes) => {
    const { reasons } = await appraiseToken(nrasVerifier, await answer(changes()), { issuer, keys });
    expect(reasons).toMatchObject([{ code: 'SERVICE_DEVICES', path: 'GPU-1' }]);
  });
});

describe('refused answers', () => {
  const other = serviceKey('ES384', 'other-key');
  const refused: readonly (readonly [string, string, Answer, Partial<TokenContext>?])[] = [
    [
      'another nonce',
      'SERVICE_NONCE',
      { main: { eat_nonce: '00'.repeat(32) }, devices: [nrasDevice(0, { eat_nonce: '00'.repeat(32) })] },
    ],
    [
      'no nonce',
      'SERVICE_NONCE_MISSING',
      { main: { eat_nonce: null }, devices: [nrasDevice(0, { eat_nonce: null })] },
    ],
    [
      'no nonce, where none is known',
      'SERVICE_NONCE_MISSING',
      { main: { eat_nonce: '' }, devices: [nrasDevice(0, { eat_nonce: '' })] },
      { reportData: null },
    ],
    [
      'a nonce of another round in a device',
      'SERVICE_DEVICE',
      { devices: [nrasDevice(0, { eat_nonce: '11'.repeat(32) })] },
    ],
    ['a negative overall result', 'SERVICE_RESULT', { main: { 'x-nvidia-overall-att-result': false } }],
    ['no overall result', 'SERVICE_RESULT', { main: { 'x-nvidia-overall-att-result': null } }],
    [
      'a device whose measurements fail although the overall result is true',
      'SERVICE_DEVICE',
      { devices: [nrasDevice(0, { measres: 'fail' })] },
    ],
    [
      'a device that says nothing of its measurements',
      'SERVICE_DEVICE',
      { devices: [nrasDevice(0, { measres: null })] },
    ],
    ['a device without secure boot', 'SERVICE_DEVICE', { devices: [nrasDevice(0, { secboot: false })] }],
    ['a device that is debugged', 'SERVICE_DEBUG', { devices: [nrasDevice(0, { dbgstat: 'enabled' })] }],
    [
      'a device that does not say whether it is debugged',
      'SERVICE_DEBUG',
      { devices: [nrasDevice(0, { dbgstat: null })] },
    ],
    [
      'a finding about a device',
      'SERVICE_DEVICE',
      { devices: [nrasDevice(0, { 'x-nvidia-gpu-driver-rim-signature-verified': false })] },
    ],
    [
      'a revoked certificate',
      'SERVICE_DEVICE',
      {
        devices: [
          nrasDevice(0, {
            'x-nvidia-gpu-vbios-rim-cert-chain': { ...chain, 'x-nvidia-cert-ocsp-status': 'revoked' },
          }),
        ],
      },
    ],
    [
      'an expired certificate',
      'SERVICE_DEVICE',
      {
        devices: [
          nrasDevice(0, {
            'x-nvidia-gpu-vbios-rim-cert-chain': { ...chain, 'x-nvidia-cert-status': 'expired' },
          }),
        ],
      },
    ],
    ['one device twice', 'SERVICE_DEVICES', { devices: [nrasDevice(0), nrasDevice(0)] }],
    ['a device without an identity', 'SERVICE_DEVICES', { devices: [nrasDevice(0, { ueid: null })] }],
    [
      'empty identities',
      'SERVICE_DEVICES SERVICE_DEVICES',
      { devices: [nrasDevice(0, { ueid: '' }), nrasDevice(1, { ueid: '' })] },
    ],
    ['no device', 'SERVICE_DEVICES', { devices: [] }],
    ['a missing device', 'SERVICE_DEVICES', { alter: (devices) => Reflect.deleteProperty(devices, 'GPU-1') }],
    ['an added device', 'SERVICE_DEVICES', { devices: [nrasDevice(0)], main: { submods: {} } }],
    [
      'swapped devices',
      'SERVICE_DEVICES SERVICE_DEVICES',
      {
        alter: (devices) =>
          void ([devices['GPU-0'], devices['GPU-1']] = [devices['GPU-1'] ?? '', devices['GPU-0'] ?? '']),
      },
    ],
    [
      'a digest of another kind',
      'SERVICE_DEVICES',
      { devices: [nrasDevice(0)], main: { submods: { 'GPU-0': ['DIGEST', ['SHA-1', '00'.repeat(20)]] } } },
    ],
    ['another issuer', 'SERVICE_ISSUER_UNTRUSTED', { main: { iss: 'https://elsewhere.example' } }],
    [
      'a device of another issuer',
      'SERVICE_ISSUER_UNTRUSTED',
      { devices: [nrasDevice(0, { iss: 'https://elsewhere.example' })] },
    ],
    ['no issuer', 'SERVICE_ISSUER_UNTRUSTED', { main: { iss: null } }],
    ['an expired token', 'SERVICE_TOKEN_EXPIRED', { main: { exp: secondsFromNow(0) } }],
    [
      'an expired token of a device',
      'SERVICE_TOKEN_EXPIRED',
      { devices: [nrasDevice(0, { exp: secondsFromNow(-1) })] },
    ],
    ['no expiry', 'SERVICE_TOKEN_EXPIRED', { main: { exp: null } }],
    [
      'a token that is too old for the policy',
      'SERVICE_TOKEN_EXPIRED',
      {},
      { policy: { maximum_age: '59s' } },
    ],
    ['a token that is not valid yet', 'SERVICE_TOKEN_NOT_YET_VALID', { main: { nbf: secondsFromNow(31) } }],
    [
      'a token from the future',
      'SERVICE_TOKEN_NOT_YET_VALID',
      { main: { iat: secondsFromNow(31), nbf: null } },
    ],
    ['an invalid time', 'SERVICE_CLOCK_INVALID', {}, { at: new Date(Number.NaN) }],
    ["another key under the service's kid", 'SERVICE_SIGNATURE', { key: { ...other, kid: key.kid } }],
  ];

  it.each(refused)('%s: %s', async (_, code, changes, context = {}) => {
    expect(await judged(changes, context)).toBe(`contraindicated ${code}`);
  });

  it('makes no claim without the key', async () => {
    expect(await judged({}, { keys: undefined })).toBe('none SERVICE_KEY_MISSING');
    expect(await judged({ key: other })).toBe('none SERVICE_KEY_MISSING');
    const { trustworthiness } = await appraiseToken(nrasVerifier, await answer(), { issuer });
    expect(trustworthiness).toEqual({});
  });

  it('finds the key by its kid among several, and never tries another', async () => {
    const both = await keySet(other, key);
    expect(await judged({}, { keys: both })).toBe('affirming');
    expect(await judged({ header: { kid: 'other-key' } }, { keys: both })).toBe(
      'contraindicated SERVICE_SIGNATURE',
    );
  });

  it('uses no key, certificate or address of the token itself', async () => {
    const [jwk] = (await keySet(other)).keys;
    const header = { jwk, jku: 'https://elsewhere.example/jwks', x5c: ['AAAA'] };
    expect(await judged({ key: { ...other, kid: key.kid }, header })).toBe(
      'contraindicated SERVICE_SIGNATURE',
    );
  });

  it('refuses unsigned tokens, other algorithms and MACs with the public key', async () => {
    const device0 = await signToken(nrasDevice(0), key);
    const submods = { 'GPU-0': ['DIGEST', ['SHA-256', createHash('sha256').update(device0).digest('hex')]] };
    const claims = {
      iss: issuer,
      eat_nonce: nonce,
      'x-nvidia-overall-att-result': true,
      submods,
      iat: secondsFromNow(-1),
      exp: secondsFromNow(60),
    };
    const wrapped = (token: string): string => JSON.stringify([['JWT', token], { 'GPU-0': device0 }]);
    const refuse = async (token: string): Promise<string> =>
      verdict(await appraiseToken(nrasVerifier, wrapped(token), { issuer, keys }));
    expect(await refuse(rawToken({ alg: 'none' }, claims))).toBe('contraindicated SERVICE_ALGORITHM');

    const header = { alg: 'HS256', kid: key.kid };
    const unsigned = rawToken(header, claims).slice(0, -1);
    for (const format of ['pem', 'der'] as const) {
      const secret = key.publicKey.export({ format: format as 'pem', type: 'spki' });
      const mac = createHmac('sha256', secret).update(unsigned).digest();
      expect(await refuse(rawToken(header, claims, mac))).toBe('contraindicated SERVICE_ALGORITHM');
    }
    const es256 = serviceKey('ES256');
    expect(await refuse(await signToken(claims, es256))).toBe('contraindicated SERVICE_ALGORITHM');
  });

  it('refuses what is no answer of the service', async () => {
    const token = await signToken({ iss: issuer }, key);
    const texts = [
      '',
      '{}',
      '[]',
      token,
      JSON.stringify([['JWT', token]]),
      JSON.stringify([['JWT', 'a.b.c'], {}]),
      JSON.stringify([['CWT', token], {}]),
    ];
    for (const text of texts) {
      expect(verdict(await appraiseToken(nrasVerifier, text, { issuer, keys }))).toBe(
        'contraindicated SERVICE_TOKEN_UNREADABLE',
      );
    }
  });
});

it('a policy that names a private key or an address without TLS is refused', () => {
  const [jwk] = keys.keys;
  const accepts = (entry: unknown): boolean =>
    nrasVerifier.policySchema.safeParse({ issuers: [entry] }).success;
  expect(accepts({ issuer, jwks: { keys: [jwk] } })).toBe(true);
  expect(accepts({ issuer, jwks: { keys: [{ ...jwk, d: 'AA' }] } })).toBe(false);
  expect(accepts({ issuer, jwks: { keys: [{ kty: 'oct', k: 'AA' }] } })).toBe(false);
  expect(accepts({ issuer, jwks: { keys: [] } })).toBe(false);
  expect(accepts({ issuer, jwks_uri: 'http://nras.example/jwks' })).toBe(false);
});
