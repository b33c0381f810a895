import { X509Certificate } from 'node:crypto';
import { compactVerify, createLocalJWKSet, decodeJwt, errors, type JSONWebKeySet, type JWK } from 'jose';
import * as z from 'zod';
import { perObject } from '../../memo.js';
import { reason, type Reason } from '../../reasons.js';

/** How far a service's clock may be ahead of the verifier's, seconds. */
const leeway = 30;
const seconds = z.number().min(0).max(253_402_300_799);
const timesSchema = z.looseObject({
  iss: z.string().optional(),
  iat: seconds,
  exp: seconds.optional(),
  nbf: seconds.optional(),
});

/** Deeper than the claims of any service: what is shown of a token must be written again, on any stack. */
const maxDepth = 16;

/** What a token says; nothing in it counts before its signature holds. */
export type ServiceClaims = z.output<typeof timesSchema>;

/**
 * Reads a token's claims without verifying anything; undefined when it is no JWT, does not say when it was issued, or is
 * nested too deeply.
 */
export function peek(token: string): ServiceClaims | undefined {
  try {
    const claims = decodeJwt(token);
    return isDeeperThan(claims, maxDepth) ? undefined : timesSchema.safeParse(claims).data;
  } catch {
    return undefined;
  }
}

function isDeeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth === 0 || Object.values(value).some((part) => isDeeperThan(part, depth - 1));
}

/**
 * Verifies a token's signature under the key that it names, of the first of the sets that has it. The algorithm must be
 * one of the service's; keys and addresses in the token's own header are never used.
 */
export async function checkSignature(
  token: string,
  sets: readonly JSONWebKeySet[],
  algorithms: readonly string[],
): Promise<Reason | undefined> {
  for (const set of sets) {
    const failure = await checkUnder(set, token, algorithms);
    if (failure?.code !== 'SERVICE_KEY_MISSING') return failure;
  }
  return reason('SERVICE_KEY_MISSING');
}

/** A set with its keys ready for use, which takes longer than a signature. */
const readyKeys = perObject(({ keys }: JSONWebKeySet) =>
  createLocalJWKSet({ keys: keys.flatMap((key) => publicJwk(key) ?? []) }),
);

async function checkUnder(
  set: JSONWebKeySet,
  token: string,
  algorithms: readonly string[],
): Promise<Reason | undefined> {
  try {
    await compactVerify(token, readyKeys(set), { algorithms: [...algorithms] });
    return undefined;
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return reason('SERVICE_KEY_MISSING');
    if (error instanceof errors.JOSEAlgNotAllowed) return reason('SERVICE_ALGORITHM');
    if (error instanceof errors.JWSInvalid) return reason('SERVICE_TOKEN_UNREADABLE');
    return reason('SERVICE_SIGNATURE');
  }
}

/** Checks when a token was issued and when it ends. */
export function checkTimes(
  claims: ServiceClaims,
  at: Date,
  maximumAgeMs: number | undefined,
): Reason | undefined {
  const now = at.getTime() / 1000;
  const { iat, nbf = iat } = claims;
  const exp = Math.min(claims.exp ?? Infinity, iat + (maximumAgeMs ?? Infinity) / 1000);
  if (!Number.isFinite(exp)) {
    return reason('SERVICE_TOKEN_EXPIRED', { message: 'The token does not say when it expires.' });
  }
  if (!(exp > now)) {
    return reason('SERVICE_TOKEN_EXPIRED', {
      message: `The token expired at ${new Date(exp * 1000).toISOString()}.`,
    });
  }
  return Math.max(iat, nbf) <= now + leeway ? undefined : reason('SERVICE_TOKEN_NOT_YET_VALID');
}

/** Some services publish a key as a certificate alone. Undefined for one that cannot be read. */
function publicJwk(key: JWK): JWK | undefined {
  const [certificate] = key.x5c ?? [];
  if (key.n !== undefined || key.x !== undefined || certificate === undefined) return key;
  try {
    const { publicKey } = new X509Certificate(Buffer.from(certificate, 'base64'));
    const { kid, alg } = key;
    return {
      ...(publicKey.export({ format: 'jwk' }) as JWK),
      ...(kid === undefined ? {} : { kid }),
      ...(alg === undefined ? {} : { alg }),
    };
  } catch {
    return undefined;
  }
}
