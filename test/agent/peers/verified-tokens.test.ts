import { VerifiedTokens } from '@muster/agent/peers/verified-tokens.js';
import { expect, it } from '@jest/globals';

const now = new Date('2026-03-01T12:00:00Z');
const later = new Date(now.getTime() + 1_000);

it('verified tokens prove a participant until the first of them expires', () => {
  const verified = new VerifiedTokens();
  verified.add('site site-1 aa', later);
  expect(verified.until('site site-1 aa', now)).toEqual(later);
  expect(verified.until('site site-1 aa', later)).toBeUndefined();
  expect(verified.until('site site-2 aa', now)).toBeUndefined();
});

it('at most 4,096 verified tokens are remembered, the latest', () => {
  const verified = new VerifiedTokens();
  for (let n = 0; n < 4_096; n += 1) verified.add(`site site-${n}`, later);
  verified.add('site site-0', later);
  verified.add('site another', later);
  expect(verified.until('site site-0', now)).toEqual(later);
  expect(verified.until('site site-1', now)).toBeUndefined();
  expect(verified.until('site site-2', now)).toEqual(later);
});
