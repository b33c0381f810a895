import type { RegisteredParticipant, RegisteredToken } from '../ports.js';

/** When renewal begins, as a part of a token's life, and how far that varies. */
const [renewalPart, jitter] = [0.6, 0.1];
/** What must be left of every token's life so that a new session needs no challenge at once. */
const freshPart = 0.5;

/** When the first required token expires; undefined when none is held. */
export function firstExpiry(
  tokens: readonly RegisteredToken[],
  required: readonly string[],
): Date | undefined {
  const expiries = tokens
    .filter(({ namespace }) => required.includes(namespace))
    .map(({ expiresAt }) => expiresAt.getTime());
  return expiries.length === 0 ? undefined : new Date(Math.min(...expiries));
}

/** Whether every required namespace has a token with more than half of its life left. */
export function isFresh(tokens: readonly RegisteredToken[], required: readonly string[], now: Date): boolean {
  return required.every((namespace) =>
    tokens.some(
      (token) =>
        token.namespace === namespace &&
        token.expiresAt.getTime() - now.getTime() > freshPart * lifeOf(token),
    ),
  );
}

/**
 * When a participant is to be challenged next: at about 60 % of the life of its first token; after `retryMs` when
 * something was wrong; at once when nothing is known of it. `random` is from 0 to 1.
 */
export function nextChallenge(
  { tokens, lastReasons }: Pick<RegisteredParticipant, 'tokens' | 'lastReasons'>,
  required: readonly string[],
  now: Date,
  { retryMs, random }: { readonly retryMs: number; readonly random: number },
): Date {
  const varied = (ms: number): number => ms * (1 + jitter * (2 * random - 1));
  if (lastReasons.length > 0) return new Date(now.getTime() + varied(retryMs));
  const held = tokens.filter(({ namespace }) => required.includes(namespace));
  if (held.length < required.length) return now;
  return new Date(
    Math.min(...held.map((token) => token.issuedAt.getTime() + varied(renewalPart * lifeOf(token)))),
  );
}

function lifeOf({ issuedAt, expiresAt }: RegisteredToken): number {
  return expiresAt.getTime() - issuedAt.getTime();
}
