import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import * as z from 'zod';
import { refusal } from '../errors.js';
import type { Evidence } from '../evidence/appraisal.js';
import { memoized } from '../memo.js';
import { formatSpiffeId, parseSpiffeId, type Identity } from '../spiffe.js';
import { nonceBytes } from './binding.js';
import { isJwsOf } from './jws.js';

/** `eat_profile` of Muster's attestation tokens (RFC 9711, section 4.3.2). */
export const attestationProfile = 'tag:muster,2026:attestation-token/v1';

const tokenType = 'muster-attestation+jwt';
/**
 * The largest token that is read, bytes. The largest evidence is that of GPUs: a report of 4 KiB and a chain of 3.5 KiB each,
 * which base64 makes 18 KiB, 280 KiB for 16 of them; their switches come on top.
 */
export const maxTokenBytes = 512 * 1024;

/** What goes into a token. */
export interface TokenInput {
  readonly evidence: Evidence;
  readonly identity: Identity;
  /** Whom the token is for: the trust domain's SPIFFE id, or the challenger's. */
  readonly audience: string;
  readonly nonce: Uint8Array;
  readonly issuedAt: Date;
  /** Whole seconds count; a fraction is cut off. */
  readonly lifetimeMs: number;
  /** The presenter's ECDSA P-256 key. */
  readonly privateKey: KeyObject;
}

/** What a token says, once its form and its signature by its own key have been checked. */
export interface TokenClaims {
  readonly identity: Identity;
  readonly audience: string;
  readonly nonce: Uint8Array;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  /** The presenter's key, SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly evidence: Evidence;
}

const bytes = z
  .string()
  .regex(/^[A-Za-z0-9_-]*$/)
  .transform((text) => new Uint8Array(Buffer.from(text, 'base64url')));

const claimsSchema = z.strictObject({
  iss: z.string().transform((uri, context) => {
    const identity = parseSpiffeId(uri);
    if (identity !== undefined) return identity;
    context.addIssue('not a SPIFFE id of a federation');
    return z.NEVER;
  }),
  aud: z.string().max(512),
  iat: z.number().int().positive().max(253_402_300_799),
  exp: z.number().int().positive().max(253_402_300_799),
  eat_nonce: bytes.refine((nonce) => nonce.length === nonceBytes),
  eat_profile: z.literal(attestationProfile),
  cnf: z.strictObject({
    jwk: z.strictObject({ kty: z.literal('EC'), crv: z.literal('P-256'), x: z.string(), y: z.string() }),
  }),
  muster_namespace: z.string().min(1).max(64),
  muster_evidence: bytes.refine((evidence) => evidence.length > 0),
  muster_auxiliary: bytes.optional(),
});

/** The trust domain's own SPIFFE id, the audience of tokens for the registry. */
export function registryAudience(trustDomain: string): string {
  return `spiffe://${trustDomain}`;
}

/** Makes an attestation token: an EAT (RFC 9711) in a compact JWS, ES256, that carries one namespace's evidence. */
export function signAttestationToken(input: TokenInput): Promise<string> {
  const { kty, crv, x, y } = createPublicKey(input.privateKey).export({ format: 'jwk' });
  const issuedAt = Math.floor(input.issuedAt.getTime() / 1000);
  const encode = (value: Uint8Array): string => Buffer.from(value).toString('base64url');
  const claims: z.input<typeof claimsSchema> = {
    iss: formatSpiffeId(input.identity),
    aud: input.audience,
    iat: issuedAt,
    exp: issuedAt + Math.floor(input.lifetimeMs / 1000),
    eat_nonce: encode(input.nonce),
    eat_profile: attestationProfile,
    cnf: { jwk: { kty, crv, x, y } as { kty: 'EC'; crv: 'P-256'; x: string; y: string } },
    muster_namespace: input.evidence.namespace,
    muster_evidence: encode(input.evidence.evidence),
    ...(input.evidence.auxiliary && { muster_auxiliary: encode(input.evidence.auxiliary) }),
  };
  return new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'ES256', typ: tokenType })
    .sign(input.privateKey);
}

/**
 * Reads a token and checks that the key it names signed it. Whether that key, name, nonce and time are the right ones
 * is for the caller. Errors: TOKEN_OVERSIZED, TOKEN_MALFORMED, TOKEN_SIGNATURE_INVALID.
 */
export function openAttestationToken(jws: string): TokenClaims {
  if (jws.length > maxTokenBytes) throw refusal('TOKEN_OVERSIZED');
  const claims = readClaims(jws);
  let holder: ReturnType<typeof readKey>;
  try {
    holder = readKey(claims.cnf.jwk);
  } catch (cause) {
    throw refusal('TOKEN_MALFORMED', { message: 'The key of the attestation token is not valid.' }, cause);
  }
  if (!isJwsOf(jws, tokenType, holder.key)) throw refusal('TOKEN_SIGNATURE_INVALID');
  return {
    identity: claims.iss,
    audience: claims.aud,
    nonce: claims.eat_nonce,
    issuedAt: new Date(claims.iat * 1000),
    expiresAt: new Date(claims.exp * 1000),
    publicKey: holder.publicKey,
    evidence: {
      namespace: claims.muster_namespace,
      evidence: claims.muster_evidence,
      ...(claims.muster_auxiliary && { auxiliary: claims.muster_auxiliary }),
    },
  };
}

/** Presenters keep their keys, and to read one costs as much as to verify a signature. */
const readKey = memoized(
  (jwk: JsonWebKey) => {
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    return { key, publicKey: new Uint8Array(key.export({ format: 'der', type: 'spki' })) };
  },
  { keyOf: (jwk) => JSON.stringify(jwk), maxEntries: 4096 },
);

function readClaims(jws: string): z.output<typeof claimsSchema> {
  try {
    const [, payload = ''] = jws.split('.');
    return claimsSchema.parse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')));
  } catch (cause) {
    throw refusal('TOKEN_MALFORMED', {}, cause);
  }
}
