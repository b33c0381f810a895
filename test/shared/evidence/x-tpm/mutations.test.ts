import { expect, it } from '@jest/globals';
import { parseAttestationKey, parseEvidence } from '@muster/shared/evidence/x-tpm/evidence.js';
import { parsePublic } from '@muster/shared/evidence/x-tpm/public-area.js';
import { parseQuote } from '@muster/shared/evidence/x-tpm/quote.js';
import { parseSignature } from '@muster/shared/evidence/x-tpm/signature.js';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import fc from 'fast-check';
import { describeVectors, vector } from '../../../support/vectors.js';
import { ecKey, rsaKey, tpmPublic, tpmQuote } from '../../../support/tpm-builder.js';
import { appraiseTpm, tpmCase } from './tpm-case.js';

it('any changed byte of a quote, its signature or its key is refused', () => {
  const change = fc.record({
    part: fc.constantFrom('quote', 'signature', 'key'),
    offset: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    difference: fc.integer({ min: 1, max: 255 }),
  });
  const area = tpmPublic(ecKey);
  const evidenceOf = parseEvidence(tpmCase({ key: ecKey }).evidence.evidence);
  if (evidenceOf === undefined) throw new Error('the case is unreadable');
  fc.assert(
    fc.property(change, ({ part, offset, difference }) => {
      const spoil = (bytes: Uint8Array): Uint8Array => {
        const changed = Uint8Array.from(bytes);
        const index = Math.floor(offset * changed.length);
        changed[index] = (changed[index] ?? 0) ^ difference;
        return changed;
      };
      const status =
        part === 'key'
          ? appraiseTpm({ key: ecKey, akPublic: spoil(area), pinned: [] }).status
          : appraiseTpm({ key: ecKey, ...(part === 'signature' ? { signature: spoil } : {}) }).status;
      const message = spoil(evidenceOf.tpm_quote.message);
      const quote = part === 'quote' ? appraiseWith(message) : 'contraindicated';
      return (part === 'quote' || status === 'contraindicated') && quote === 'contraindicated';
    }),
    { numRuns: 300 },
  );

  function appraiseWith(message: Uint8Array): string {
    const input = tpmCase({ key: ecKey });
    const json = JSON.parse(Buffer.from(input.evidence.evidence).toString()) as {
      tpm_quote: { message: string };
    };
    json.tpm_quote.message = Buffer.from(message).toString('base64');
    const evidence = { namespace: 'x-tpm', evidence: Buffer.from(JSON.stringify(json)) };
    return tpmVerifier.appraise({ ...input, evidence }).status;
  }
});

it('a structure that ends early is refused at every length', () => {
  for (const [whole, parse] of [
    [tpmQuote(), parseQuote],
    [tpmPublic(rsaKey), parsePublic],
    [tpmPublic(ecKey), parsePublic],
  ] as const) {
    expect(parse(whole)).toBeDefined();
    for (let length = 0; length < whole.length; length += 1)
      expect(parse(whole.subarray(0, length))).toBeUndefined();
  }
});

it('parsers answer anything, and never throw', () => {
  const prefixes = [
    tpmQuote().subarray(0, 6),
    tpmPublic(rsaKey).subarray(0, 8),
    Buffer.from('0014000b', 'hex'),
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(Buffer.alloc(0), ...prefixes),
      fc.uint8Array({ maxLength: 200 }),
      (prefix, rest) => {
        const bytes = Buffer.concat([prefix, rest]);
        for (const parse of [parseQuote, parsePublic, parseSignature, parseEvidence, parseAttestationKey])
          parse(bytes);
      },
    ),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.json(), (text) => parseEvidence(new TextEncoder().encode(text)) === undefined));
});

describeVectors('a real quote, changed', () => {
  it('every changed byte of the quote and of its signature is refused for it', () => {
    const evidence = vector('tpm/trustee-evidence.json');
    const json = JSON.parse(Buffer.from(evidence).toString()) as {
      tpm_quote: { message: string; signature: string };
    };
    const input = tpmCase({ input: { reportData: undefined } as never });
    const claimsOf = (part: 'message' | 'signature', offset: number): unknown => {
      const bytes = Buffer.from(json.tpm_quote[part], 'base64');
      bytes.writeUInt8((bytes[offset] ?? 0) ^ 0x10, offset);
      const changed = { ...json, tpm_quote: { ...json.tpm_quote, [part]: bytes.toString('base64') } };
      const appraisal = tpmVerifier.appraise({
        ...input,
        evidence: { namespace: 'x-tpm', evidence: new TextEncoder().encode(JSON.stringify(changed)) },
      });
      return appraisal.claims['quote_signature'];
    };
    for (const part of ['message', 'signature'] as const) {
      const { length } = Buffer.from(json.tpm_quote[part], 'base64');
      const accepted = Array.from({ length }, (_, at) => at).filter((at) => claimsOf(part, at) !== undefined);
      expect(accepted).toEqual([]);
    }
  });
});
