import { createHash, randomBytes } from 'node:crypto';
import { refusal } from '@muster/shared/errors.js';
import type { JoinTokenRow } from '../store/schema.js';

/** How long the key that used a token may repeat the call, so that a lost reply strands nobody, ms. */
const repeatMs = 10 * 60_000;

const prefixes = { join: 'muster-join-', rejoin: 'muster-rejoin-' } as const;

/** A new token: a prefix by which scanners of secrets know it, and 256 random bits. */
export function createJoinToken(kind: JoinTokenRow['kind']): string {
  return prefixes[kind] + randomBytes(32).toString('base64url');
}

/**
 * What the store keeps of a token: SHA-256, hex. Looking a token up by its hash tells a caller's clock nothing that
 * brings it nearer to a token, and 256 random bits need no slow hash.
 */
export function joinTokenHash(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** How a key is remembered beside the token that it used: SHA-256 of SubjectPublicKeyInfo, hex. */
export function keyHash(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex');
}

/**
 * Decides whether a key may enrol with a token: `first`, or `repeated` when that key has used it and may ask again.
 * Errors: JOIN_TOKEN_INVALID for an unknown one, JOIN_TOKEN_USED, JOIN_TOKEN_EXPIRED.
 */
export function checkJoinToken(
  row: JoinTokenRow | undefined,
  publicKey: Uint8Array,
  at: Date,
): { readonly use: 'first' | 'repeated'; readonly row: JoinTokenRow } {
  if (row === undefined) throw refusal('JOIN_TOKEN_INVALID');
  const about = { participant: row.participant };
  if (row.used_at !== null) {
    const repeated = row.used_by === keyHash(publicKey) && at.getTime() < row.used_at + repeatMs;
    if (repeated) return { use: 'repeated', row };
    throw refusal('JOIN_TOKEN_USED', about);
  }
  if (row.expires_at <= at.getTime()) throw refusal('JOIN_TOKEN_EXPIRED', about);
  return { use: 'first', row };
}
