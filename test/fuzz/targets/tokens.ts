import { createHash } from 'node:crypto';
import type { AppraisalInput, EvidenceVerifier } from '@muster/shared/evidence/appraisal.js';
import { readJson } from '@muster/shared/evidence/encoded.js';
import { earVerifier } from '@muster/shared/evidence/service-token/ear.js';
import { itaVerifier } from '@muster/shared/evidence/service-token/ita.js';
import { maaVerifier } from '@muster/shared/evidence/service-token/maa.js';
import { nrasVerifier } from '@muster/shared/evidence/service-token/nras.js';
import { keySetSchema, type CommonPolicy } from '@muster/shared/evidence/service-token/policy.js';
import { checkSignature } from '@muster/shared/evidence/service-token/token.js';
import { once } from '@muster/shared/memo.js';
import { azureAciVerifier } from '@muster/shared/evidence/x-az-aci/verifier.js';
import {
  aciClaims,
  itaClaims,
  maaClaims,
  nestedItaClaims,
  nrasDevice,
  trusteeClaims,
  type Claims,
} from '../../support/service-claims.js';
import {
  at,
  keySet,
  nonce,
  reportData,
  secondsFromNow,
  serviceKey,
  signToken,
  type ServiceKey,
} from '../../support/service-tokens.js';
import { CompactSign } from 'jose';
import { parserTarget, type NamedTarget } from '../target.js';
import { verifierTarget } from './appraisal.js';

interface Service {
  readonly name: string;
  readonly verifier: EvidenceVerifier;
  readonly algorithm: 'RS256' | 'ES256' | 'ES384' | 'PS384';
  readonly claims: Claims;
}

const services: readonly Service[] = [
  { name: 'aci', verifier: azureAciVerifier, algorithm: 'RS256', claims: aciClaims },
  { name: 'maa', verifier: maaVerifier, algorithm: 'RS256', claims: maaClaims },
  { name: 'ita', verifier: itaVerifier, algorithm: 'PS384', claims: itaClaims },
  { name: 'ita2', verifier: itaVerifier, algorithm: 'PS384', claims: nestedItaClaims },
  { name: 'ear', verifier: earVerifier, algorithm: 'ES256', claims: trusteeClaims },
];

async function caseOf(
  service: Service,
  text: string | Uint8Array,
  key: ServiceKey,
): Promise<AppraisalInput<CommonPolicy>> {
  const { verifier, claims } = service;
  const issuers = [{ issuer: claims['iss'], jwks: await keySet(key) }];
  return {
    evidence: { namespace: verifier.namespace, evidence: Buffer.from(text) },
    endorsements: { certificates: [], crls: [] },
    policy: verifier.policySchema.parse({ issuers }) as CommonPolicy,
    reportData,
    at,
    simulatedRoots: [],
  };
}

/** Header and claims of a JWS, which its signature covers. */
function signedPart(jws: unknown): string {
  return String(jws).slice(0, String(jws).lastIndexOf('.'));
}

/** What the service signed of an answer: one JWS, alone or in an object, or those of NVIDIA's service. */
function signedTokens(answer: Uint8Array): string {
  const text = Buffer.from(answer).toString('utf8').trim();
  if (!/^[{[]/.test(text)) return signedPart(text);
  const json = JSON.parse(text) as { token: unknown } | [[string, unknown], Record<string, unknown>];
  if (!Array.isArray(json)) return signedPart(json.token);
  const [[, main], devices] = json;
  return [main, ...Object.values(devices)].map(signedPart).toSorted().join(' ');
}

/** A JWS over claims as they are, whatever they are. */
function signClaims(claims: Uint8Array, { privateKey, alg, kid }: ServiceKey): Promise<string> {
  return new CompactSign(claims).setProtectedHeader({ alg, kid }).sign(privateKey);
}

/** Claims with the times that a token has. */
function timed(claims: Claims): Claims {
  return { iat: secondsFromNow(-60), exp: secondsFromNow(600), ...claims };
}

function tokenTargets(service: Service): readonly NamedTarget[] {
  const { name, verifier, algorithm, claims } = service;
  const keyOf = once(() => serviceKey(algorithm));
  const words = Object.keys(claims);
  return [
    verifierTarget({
      name: `${name}-token`,
      verifier: verifier as EvidenceVerifier<CommonPolicy>,
      signed: signedTokens,
      words,
      async cases() {
        const key = keyOf();
        const token = await signToken(claims, key);
        const foreign = await signToken({ ...claims, iss: 'https://other.example' }, key);
        const answers = [token, JSON.stringify({ token }), foreign];
        return Promise.all(answers.map((answer) => caseOf(service, answer, key)));
      },
    }),
    verifierTarget({
      name: `${name}-claims`,
      verifier: verifier as EvidenceVerifier<CommonPolicy>,
      signed: () => '',
      words,
      sign: async (chosen) => Buffer.from(await signClaims(chosen, keyOf())),
      cases: async () => [await caseOf(service, JSON.stringify(timed(claims)), keyOf())],
    }),
  ];
}

const nras: Service = {
  name: 'nras',
  verifier: nrasVerifier,
  algorithm: 'ES384',
  claims: timed({
    iss: 'https://nras.attestation.nvidia.com',
    eat_nonce: nonce,
    'x-nvidia-overall-att-result': true,
  }),
};

/** The claims of the overall token, which names the device's by its digest. */
function overallClaims(device: string): Buffer {
  const digest = createHash('sha256').update(device).digest('hex');
  const submods = { 'GPU-0': ['DIGEST', ['SHA-256', digest]] };
  return Buffer.from(JSON.stringify({ ...nras.claims, submods }));
}

function nrasTargets(): readonly NamedTarget[] {
  const keyOf = once(() => serviceKey('ES384'));
  const verifier = nrasVerifier as EvidenceVerifier<CommonPolicy>;
  const words = [
    ...Object.keys(nrasDevice(0)),
    'x-nvidia-overall-att-result',
    'submods',
    'DIGEST',
    'SHA-256',
  ];
  const deviceClaims = Buffer.from(JSON.stringify(timed(nrasDevice(0))));
  const signed = async (device: string, main = overallClaims(device)): Promise<Buffer> =>
    Buffer.from(JSON.stringify([['JWT', await signClaims(main, keyOf())], { 'GPU-0': device }]));
  const device = once(() => signClaims(deviceClaims, keyOf()));
  return [
    verifierTarget({
      name: 'nras-token',
      verifier,
      signed: signedTokens,
      words,
      async cases() {
        const failed = await signToken(nrasDevice(0, { measres: 'fail' }), keyOf());
        const answers = await Promise.all([await device(), failed].map((token) => signed(token)));
        return Promise.all(answers.map((answer) => caseOf(nras, answer, keyOf())));
      },
    }),
    verifierTarget({
      name: 'nras-claims',
      verifier,
      signed: () => '',
      words,
      sign: async (chosen) => signed(await signClaims(chosen, keyOf())),
      cases: async () => [await caseOf(nras, deviceClaims, keyOf())],
    }),
    verifierTarget({
      name: 'nras-overall-claims',
      verifier,
      signed: () => '',
      words,
      sign: async (chosen) => signed(await device(), Buffer.from(chosen)),
      cases: async () => [await caseOf(nras, overallClaims(await device()), keyOf())],
    }),
  ];
}

const maxKeySetBytes = 256 * 1024;

/** Tokens of attestation services, and the keys that these publish. */
export const tokenServiceTargets: readonly NamedTarget[] = [
  ...services.flatMap(tokenTargets),
  ...nrasTargets(),
  {
    name: 'jwks',
    async make() {
      const key = serviceKey('RS256');
      const token = await signToken({}, key);
      const sets = await Promise.all([keySet(key), keySet(key, serviceKey('ES256', 'other'))]);
      return parserTarget(
        'jwks',
        async (bytes) => {
          const keys = readJson(bytes, keySetSchema, maxKeySetBytes);
          if (keys !== undefined) await checkSignature(token, [keys], ['RS256']);
        },
        () => sets.map((set) => JSON.stringify(set)),
        { words: ['kty', 'RSA', 'EC', 'x5c', 'kid', 'use', 'key_ops', 'alg', 'crv', 'P-256'] },
      ).make();
    },
  },
];
