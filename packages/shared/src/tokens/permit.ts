import type { KeyObject } from 'node:crypto';
import { decodeJwt, jwtVerify, SignJWT, type JWTVerifyGetKey } from 'jose';
import * as z from 'zod';
import { refusal } from '../errors.js';
import { registryAudience } from './attestation-token.js';

const permitType = 'muster-permit+jwt';

/** One participant as a permit names it. */
const participantSchema = z.strictObject({
  name: z.string(),
  /** SHA-256 of each attestation result (EAR, compact), by namespace; empty for an exempt participant. */
  results: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
});

const claimsSchema = z.object({
  iss: z.string(),
  aud: z.string(),
  sub: z.string(),
  iat: z.number(),
  exp: z.number(),
  muster_generation: z.number().int().positive(),
  muster_participants: z.array(participantSchema).min(1),
});

/** An admission: which participants may run a job, on the strength of which attestation results, until when. */
export interface Permit {
  readonly jobId: string;
  readonly generation: number;
  readonly participants: readonly z.output<typeof participantSchema>[];
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

/** Signs a permit as a JWT (RFC 7519), ES256: iss the server's SPIFFE id, aud the trust domain's, sub the job. */
export function signPermit(
  permit: Permit,
  signer: {
    readonly issuer: string;
    readonly trustDomain: string;
    readonly keyId: string;
    readonly key: KeyObject;
  },
): Promise<string> {
  return new SignJWT({
    muster_generation: permit.generation,
    muster_participants: permit.participants.map((participant) => ({ ...participant })),
  })
    .setProtectedHeader({ alg: 'ES256', typ: permitType, kid: signer.keyId })
    .setIssuer(signer.issuer)
    .setAudience(registryAudience(signer.trustDomain))
    .setSubject(permit.jobId)
    .setIssuedAt(permit.issuedAt)
    .setExpirationTime(permit.expiresAt)
    .sign(signer.key);
}

/** When a permit of one's own expires; its signature is not looked at. */
export function expiryOfPermit(jwt: string): Date {
  return new Date((decodeJwt(jwt).exp ?? 0) * 1000);
}

/**
 * Verifies a permit offline against the federation's keys. Errors: PERMIT_INVALID for a wrong signature, type, issuer
 * or audience, or one that has expired at `at`.
 */
export async function verifyPermit(
  jwt: string,
  expected: {
    readonly keys: JWTVerifyGetKey;
    readonly issuer: string;
    readonly trustDomain: string;
    readonly at: Date;
  },
): Promise<Permit> {
  try {
    const { payload } = await jwtVerify(jwt, expected.keys, {
      algorithms: ['ES256'],
      typ: permitType,
      issuer: expected.issuer,
      audience: registryAudience(expected.trustDomain),
      currentDate: expected.at,
      requiredClaims: ['sub', 'iat', 'exp'],
    });
    const claims = claimsSchema.parse(payload);
    return {
      jobId: claims.sub,
      generation: claims.muster_generation,
      participants: claims.muster_participants,
      issuedAt: new Date(claims.iat * 1000),
      expiresAt: new Date(claims.exp * 1000),
    };
  } catch (cause) {
    throw refusal('PERMIT_INVALID', {}, cause);
  }
}
