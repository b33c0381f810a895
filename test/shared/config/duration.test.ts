import { describe, expect, it } from '@jest/globals';
import { duration, formatDuration, parseDuration } from '@muster/shared/config/duration.js';
import fc from 'fast-check';

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['10m', 600_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
  ])('reads %s', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(['', '10', 's', '-1s', '1.5s', '1s ', '1 s', '1S', '9999999999s'])('refuses %p', (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  );

  it('writes what it reads back', () => {
    fc.assert(fc.property(fc.nat(999_999_999), (ms) => parseDuration(formatDuration(ms)) === ms));
  });

  it('keeps to its bounds, inclusive', () => {
    const schema = duration('1s', '1m');
    expect(['999ms', '1s', '1m', '61s'].map((text) => schema.safeParse(text).success)).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });
});
