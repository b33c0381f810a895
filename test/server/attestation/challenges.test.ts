import { describe, expect, it } from '@jest/globals';
import { Challenges } from '@muster/server/attestation/challenges.js';
import { MusterError } from '@muster/shared/errors.js';
import { FakeClock } from '../../support/fake-clock.js';

const clock = new FakeClock();
const [key, otherKey] = [new Uint8Array([1]), new Uint8Array([2])];

function opened(): { readonly challenges: Challenges; readonly id: string; readonly nonce: Uint8Array } {
  const challenges = new Challenges(clock);
  return { challenges, ...challenges.issue('site-1', key, ['x-a'], 30_000) };
}

function codeOf(answer: () => unknown): string {
  try {
    answer();
    return 'accepted';
  } catch (error) {
    return error instanceof MusterError ? error.code : String(error);
  }
}

describe('a challenge', () => {
  it('gives its nonce to the first answer', () => {
    const { challenges, id, nonce } = opened();
    expect(challenges.answer('site-1', key, id)).toEqual(nonce);
    expect(codeOf(() => challenges.answer('site-1', key, id))).toBe('TOKEN_REPLAYED');
  });

  it.each([
    ['another participant', 'site-2', key],
    ['another key', 'site-1', otherKey],
  ])('is unknown to %s, who cannot use it up', (_, participant, publicKey) => {
    const { challenges, id, nonce } = opened();
    expect(codeOf(() => challenges.answer(participant, publicKey, id))).toBe('CHALLENGE_UNKNOWN');
    expect(challenges.answer('site-1', key, id)).toEqual(nonce);
  });

  it('expires, and is forgotten an hour later', async () => {
    const { challenges, id } = opened();
    await clock.advance(30_001);
    expect(codeOf(() => challenges.answer('site-1', key, id))).toBe('CHALLENGE_EXPIRED');
    await clock.advance(3_600_000);
    challenges.issue('site-1', key, ['x-a'], 30_000);
    expect(codeOf(() => challenges.answer('site-1', key, id))).toBe('CHALLENGE_UNKNOWN');
  });

  it('makes room for the eighth after it, of the same participant only', () => {
    const { challenges, id, nonce } = opened();
    const issue = (participant: string): unknown => challenges.issue(participant, key, ['x-a'], 30_000);
    for (let count = 0; count < 8; count += 1) issue('site-2');
    for (let count = 0; count < 7; count += 1) issue('site-1');
    const eighth = challenges.issue('site-1', key, ['x-a'], 30_000);
    expect(codeOf(() => challenges.answer('site-1', key, id))).toBe('CHALLENGE_UNKNOWN');
    expect(challenges.answer('site-1', key, eighth.id)).not.toEqual(nonce);
  });

  it('goes with its participant', () => {
    const { challenges, id } = opened();
    challenges.forget('site-1');
    expect(codeOf(() => challenges.answer('site-1', key, id))).toBe('CHALLENGE_UNKNOWN');
  });
});
