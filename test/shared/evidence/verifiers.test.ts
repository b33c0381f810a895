import { expect, it } from '@jest/globals';
import { registryOf, verifierOf, verifiers } from '@muster/shared/evidence/verifiers.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';

it('knows each namespace once, and nothing else', () => {
  expect(verifierOf('x-snp')).toBe(snpVerifier);
  expect(verifierOf('x-unknown')).toBeUndefined();
  expect(verifierOf('')).toBeUndefined();
  expect(new Set(verifiers.map(({ namespace }) => namespace)).size).toBe(verifiers.length);
});

it('refuses two verifiers of one namespace', () => {
  expect(() => registryOf([snpVerifier, { ...snpVerifier }])).toThrow('x-snp');
});
