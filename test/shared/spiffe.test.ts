import { describe, expect, it } from '@jest/globals';
import { formatSpiffeId, isName, parseSpiffeId, roles } from '@muster/shared/spiffe.js';
import fc from 'fast-check';

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);

describe('SPIFFE ids', () => {
  it('read what they write', () => {
    fc.assert(
      fc.property(name, fc.constantFrom(...roles), name, (trustDomain, role, own) => {
        const identity = { trustDomain, role, name: own };
        expect(parseSpiffeId(formatSpiffeId(identity))).toEqual(identity);
      }),
    );
  });

  it.each([
    'spiffe://td/site',
    'spiffe://td/site/',
    'spiffe://td/site/a/b',
    'spiffe://td/root/a',
    'spiffe:///site/a',
    'spiffe://TD/site/a',
    'spiffe://td/site/A',
    'spiffe://td/site/a%2fb',
    'https://td/site/a',
    ' spiffe://td/site/a',
    'spiffe://td/site/a\n',
  ])('refuse %p', (uri) => expect(parseSpiffeId(uri)).toBeUndefined());

  it.each(['', '-a', 'a-', 'A', 'a.b', 'a_b', 'ä', 'a'.repeat(64), 'a\n'])('take no name like %p', (text) =>
    expect(isName(text)).toBe(false),
  );
});
