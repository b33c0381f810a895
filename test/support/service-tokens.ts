import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Appraisal, EvidenceVerifier } from '@muster/shared/evidence/appraisal.js';
import { exportJWK, SignJWT, type JSONWebKeySet, type JWTPayload } from 'jose';

/** The time of the tests, at which the tokens are fresh. */
export const at = new Date('2026-01-01T00:00:00Z');
const seconds = at.getTime() / 1000;
export const reportData = createHash('sha512').update('a binding').digest();
/** The nonce of services that take 32 bytes. */
export const nonce = createHash('sha256').update(reportData).digest('hex');

/** The signing key of a service. */
export interface ServiceKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly alg: string;
  readonly kid: string;
}

const algorithms: Readonly<Record<string, () => { privateKey: KeyObject; publicKey: KeyObject }>> = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS384: () => generateKeyPairSync('rsa', { modulusLength: 3072 }),
};

/** Makes a service's key. */
export function serviceKey(alg: string, kid = 'service-key-1'): ServiceKey {
  const pair = algorithms[alg]?.();
  if (pair === undefined) throw new Error(`no keys for ${alg}`);
  return { ...pair, alg, kid };
}

/** The key set that a service publishes. */
export async function keySet(...keys: readonly ServiceKey[]): Promise<JSONWebKeySet> {
  return {
    keys: await Promise.all(
      keys.map(async ({ publicKey, alg, kid }) => ({
        ...(await exportJWK(publicKey)),
        alg,
        kid,
        use: 'sig',
      })),
    ),
  };
}

/** Signs a token that was issued a minute ago and lasts for ten; `null` leaves a claim out. */
export function signToken(
  claims: { readonly [claim: string]: unknown },
  { privateKey, alg, kid }: ServiceKey,
  header: { readonly [field: string]: unknown } = {},
): Promise<string> {
  const all = { iat: seconds - 60, nbf: seconds - 60, exp: seconds + 600, ...claims };
  const payload = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as JWTPayload;
  return new SignJWT(payload).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);
}

/** A compact token whose header and signature are whatever a test wants. */
export function rawToken(header: unknown, claims: unknown, signature: Uint8Array = new Uint8Array()): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return [part(header), part(claims), Buffer.from(signature).toString('base64url')].join('.');
}

/** What a verifier is told beside the evidence. */
export interface TokenContext {
  readonly issuer: string;
  readonly keys?: JSONWebKeySet | undefined;
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly at?: Date;
  readonly reportData?: Uint8Array | null;
}

/** Appraises a service's answer under its pinned keys. */
export async function appraiseToken(
  verifier: EvidenceVerifier,
  answer: string,
  { issuer, keys, policy = {}, at: time = at, reportData: bound = reportData }: TokenContext,
): Promise<Appraisal> {
  return verifier.appraise({
    evidence: { namespace: verifier.namespace, evidence: new TextEncoder().encode(answer) },
    endorsements: { certificates: [], crls: [] },
    policy: verifier.policySchema.parse({
      issuers: [{ issuer, ...(keys === undefined ? {} : { jwks: keys }) }],
      ...policy,
    }),
    at: time,
    simulatedRoots: [],
    ...(bound === null ? {} : { reportData: bound }),
  });
}

/** Seconds since the epoch, from the time of the tests. */
export function secondsFromNow(difference: number): number {
  return seconds + difference;
}
