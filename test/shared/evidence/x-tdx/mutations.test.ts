import { expect, it } from '@jest/globals';
import type { Endorsements, Evidence } from '@muster/shared/evidence/appraisal.js';
import { readQeIdentity, readTcbInfo } from '@muster/shared/evidence/x-tdx/collateral.js';
import { readPckPlatform } from '@muster/shared/evidence/x-tdx/pck-extension.js';
import { splitPckChain } from '@muster/shared/evidence/x-tdx/pem-chain.js';
import { parseQuote } from '@muster/shared/evidence/x-tdx/quote.js';
import { tdxVerifier } from '@muster/shared/evidence/x-tdx/verifier.js';
import fc from 'fast-check';
import { tdxCase } from '../../../support/tdx-case.js';
import { describeVectors, vector } from '../../../support/vectors.js';
import { tdxVectors } from '../../../support/tdx-vectors.js';

const policy = tdxVerifier.policySchema.parse({});
const change = fc.record({
  place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  difference: fc.integer({ min: 1, max: 255 }),
});

function changed(
  bytes: Uint8Array,
  { place, difference }: { place: number; difference: number },
): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const offset = Math.floor(place * copy.length);
  copy[offset] = (copy[offset] ?? 0) ^ difference;
  return copy;
}

describeVectors('real quotes, changed', () => {
  const at = new Date('2025-07-01T00:00:00Z');
  const endorsements = (): Endorsements => tdxVectors.upToDate();

  function statusOf(quote: Uint8Array, atHand: Endorsements): string {
    const evidence = { namespace: 'x-tdx', evidence: quote };
    return tdxVerifier.appraise({ evidence, endorsements: atHand, policy, at, simulatedRoots: [] }).status;
  }

  it('every changed bit of a byte is refused', () => {
    const [quote, atHand] = [vector('tdx/v4-uptodate/quote.bin'), endorsements()];
    expect(statusOf(quote, atHand)).toBe('affirming');
    // Every seventh byte: each field and certificate is hit, and the next property hits the rest.
    const offsets = Array.from({ length: Math.floor(quote.length / 7) }, (_, index) => index * 7);
    const accepted = offsets.filter((offset) => {
      const copy = Uint8Array.from(quote);
      copy[offset] = (copy[offset] ?? 0) ^ (1 << (offset % 8));
      return statusOf(copy, atHand) !== 'contraindicated';
    });
    expect(accepted).toEqual([]);
  });

  it('any other value of any byte, and any other length, is refused', () => {
    const [quote, atHand] = [vector('tdx/v4-uptodate/quote.bin'), endorsements()];
    fc.assert(
      fc.property(change, (one) => statusOf(changed(quote, one), atHand) === 'contraindicated'),
      { numRuns: 150 },
    );
    const end = 4936;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: end - 1 }), (length) => {
        return statusOf(quote.subarray(0, length), atHand) === 'contraindicated';
      }),
      { numRuns: 30 },
    );
  });

  it('every changed bit of the quote of a TD that can be debugged is refused, where the policy lets it pass', () => {
    const appraised = (evidence: Uint8Array): string =>
      tdxVerifier.appraise({
        evidence: { namespace: 'x-tdx', evidence },
        endorsements: tdxVectors.debug(),
        policy: tdxVerifier.policySchema.parse({ debug: true }),
        at: new Date('2023-07-01T00:00:00Z'),
        simulatedRoots: [],
      }).status;
    const quote = vector('tdx/v4-debug/quote.bin');
    expect(appraised(quote)).toBe('none');
    const accepted = Array.from({ length: Math.floor(quote.length / 29) }, (_, index) => index * 29).filter(
      (at) => {
        const copy = Uint8Array.from(quote);
        copy[at] = (copy[at] ?? 0) ^ (1 << (at % 8));
        return appraised(copy) !== 'contraindicated';
      },
    );
    expect(accepted).toEqual([]);
  });

  it('any other byte of the collateral is not affirmed', () => {
    const [quote, atHand] = [vector('tdx/v4-uptodate/quote.bin'), endorsements()];
    const documents = atHand.documents ?? [];
    const items = [...atHand.crls, ...documents.map(({ content }) => content)];
    fc.assert(
      fc.property(change, fc.nat({ max: items.length - 1 }), (one, index) => {
        const spoilt = items.map((item, position) => (position === index ? changed(item, one) : item));
        const crls = spoilt.slice(0, atHand.crls.length);
        const contents = spoilt.slice(crls.length);
        return (
          statusOf(quote, {
            ...atHand,
            crls,
            documents: documents.map(({ kind }, position) => ({
              kind,
              content: contents[position] ?? new Uint8Array(),
            })),
          }) !== 'affirming'
        );
      }),
      { numRuns: 150 },
    );
  });
});

it('any other byte of a simulated quote with a report of TDX 1.5 is refused', () => {
  const input = tdxCase({ quote: { version: 5, bodyType: 3, padding: new Uint8Array(40) } });
  fc.assert(
    fc.property(change, (one) => {
      const evidence: Evidence = { ...input.evidence, evidence: changed(input.evidence.evidence, one) };
      return tdxVerifier.appraise({ ...input, evidence }).status === 'contraindicated';
    }),
    { numRuns: 200 },
  );
});

it('parsers answer anything, and never throw', () => {
  const anything = fc.uint8Array({ maxLength: 2000 });
  fc.assert(
    fc.property(anything, (bytes) => {
      expect(parseQuote(bytes)).toHaveProperty('code');
      expect(readTcbInfo(bytes)).toBeUndefined();
      expect(readQeIdentity(bytes)).toBeUndefined();
      expect(readPckPlatform(new Map([['1.2.840.113741.1.13.1', bytes]]))).toBeUndefined();
      splitPckChain(bytes);
    }),
    { numRuns: 300 },
  );
});

it('an extension with a time that is none is no extension of a PCK certificate', () => {
  const generalizedTime = Uint8Array.of(0x18, 1, 0x41);
  expect(readPckPlatform(new Map([['1.2.840.113741.1.13.1', generalizedTime]]))).toBeUndefined();
});

it('any bytes after the beginning of a quote are answered with a reason', () => {
  const { evidence } = tdxCase().evidence;
  const input = tdxCase();
  fc.assert(
    fc.property(fc.nat({ max: 1300 }), fc.uint8Array({ maxLength: 3000 }), (length, rest) => {
      const bytes = Uint8Array.from([...evidence.subarray(0, length), ...rest]);
      const appraisal = tdxVerifier.appraise({ ...input, evidence: { ...input.evidence, evidence: bytes } });
      return appraisal.status === 'contraindicated' && appraisal.reasons.length > 0;
    }),
    { numRuns: 200 },
  );
});

it('any JSON in the place of a document is read or refused', () => {
  fc.assert(
    fc.property(fc.json(), fc.string(), (json, signature) => {
      const text = `{"tcbInfo":${json},"signature":"${signature}"}`;
      expect(readTcbInfo(Buffer.from(text))).toBeUndefined();
    }),
  );
});
