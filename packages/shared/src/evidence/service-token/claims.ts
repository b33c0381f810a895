import { reason, type Reason } from '../../reasons.js';
import { answers } from '../nonce.js';
import type { CommonPolicy } from './policy.js';

/** How much of a token's text is shown, characters. */
const maxShownLength = 64;

/** An object of a token. */
export type ClaimSet = { readonly [claim: string]: unknown };

/** Reads a part of a token that must be an object; undefined when it is anything else. */
export function objectOf(value: unknown): ClaimSet | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as ClaimSet)
    : undefined;
}

/**
 * Whether a nonce that a token shows as text answers report data. Services show nonces in hex or base64, and some
 * encode in base64 the text that they were given.
 */
export function textAnswers(text: unknown, reportData: Uint8Array): boolean {
  if (typeof text !== 'string') return false;
  const decoded = Buffer.from(text, 'base64');
  const candidates = [hexOf(text), decoded, hexOf(decoded.toString('latin1'))];
  return candidates.some((nonce) => nonce !== undefined && answers(nonce, reportData));
}

/** A text of a token for the sentence of a reason: the beginning of it, and nothing of what is no text. */
export function shownText(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, maxShownLength) : 'not said';
}

function hexOf(text: string): Buffer | undefined {
  return /^(?:[0-9a-fA-F]{2})+$/.test(text) ? Buffer.from(text, 'hex') : undefined;
}

/** The claims whose values the policy does not allow; one that is not there has no allowed value. */
export function checkClaims(claims: ClaimSet, allowed: CommonPolicy['claims']): readonly Reason[] {
  return Object.entries(allowed).flatMap(([pointer, values]) => {
    const found = resolve(claims, pointer);
    if (values.some((value) => value === found)) return [];
    return [
      reason('SERVICE_CLAIM', { message: `The claim ${pointer} is not as the policy asks.`, path: pointer }),
    ];
  });
}

/** Follows a JSON Pointer (RFC 6901, section 4) through objects and arrays. */
function resolve(claims: unknown, pointer: string): unknown {
  const names = pointer
    .slice(1)
    .split('/')
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
  return names.reduce<unknown>((value, name) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    return (value as ClaimSet)[name];
  }, claims);
}
