import { createPublicKey } from 'node:crypto';
import { expect, it } from '@jest/globals';
import {
  formatEvidence,
  parseAttestationKey,
  parseEvidence,
} from '@muster/shared/evidence/x-tpm/evidence.js';
import { parsePublic } from '@muster/shared/evidence/x-tpm/public-area.js';
import { parseQuote } from '@muster/shared/evidence/x-tpm/quote.js';
import { parseSignature } from '@muster/shared/evidence/x-tpm/signature.js';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import fc from 'fast-check';
import { describeVectors, vector } from '../../../support/vectors.js';
import { ecKey, rsaKey, tpmPublic, tpmQuote } from '../../../support/tpm-builder.js';
import { tpmCase } from './tpm-case.js';

it('any changed byte of a quote, its signature or its key is refused', () => {
  const input = tpmCase({ key: ecKey });
  const evidence = parseEvidence(input.evidence.evidence);
  if (evidence === undefined) throw new Error('the case is unreadable');
  const { ak_public, tpm_quote } = evidence;
  const change = fc.record({
    part: fc.constantFrom('message', 'signature', 'ak_public'),
    position: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    difference: fc.integer({ min: 1, max: 255 }),
  });
  fc.assert(
    fc.property(change, ({ part, position, difference }) => {
      const parts = { ak_public, message: tpm_quote.message, signature: tpm_quote.signature };
      const spoilt = Buffer.from(parts[part]);
      const offset = Math.floor(position * spoilt.length);
      spoilt.writeUInt8((spoilt[offset] ?? 0) ^ difference, offset);
      const { ak_public: key, ...signed } = { ...parts, [part]: spoilt };
      const changed = formatEvidence({ ak_public: key, tpm_quote: { ...tpm_quote, ...signed } });
      const subject = { namespace: 'x-tpm', evidence: changed };
      return tpmVerifier.appraise({ ...input, evidence: subject }).status === 'contraindicated';
    }),
    { numRuns: 400 },
  );
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
  it('every changed byte of the quote of Keylime and of its signature is refused', () => {
    const parts = {
      message: vector('tpm/keylime/quote.out'),
      signature: vector('tpm/keylime/quotesig.out'),
    };
    const pem = createPublicKey(Buffer.from(vector('tpm/keylime/akpub.pem')));
    const ak_public = pem.export({ format: 'der', type: 'spki' });
    const claimOf = (tpm_quote: typeof parts): unknown =>
      tpmVerifier.appraise({
        ...tpmCase(),
        evidence: { namespace: 'x-tpm', evidence: formatEvidence({ ak_public, tpm_quote }) },
      }).claims['quote_signature'];
    expect(claimOf(parts)).toBe('holds');
    const accepted = (['message', 'signature'] as const).flatMap((part) =>
      [...parts[part].keys()].filter((at) => {
        const changed = Uint8Array.from(parts[part]);
        changed[at] = (changed[at] ?? 0) ^ 0x10;
        return claimOf({ ...parts, [part]: changed }) !== undefined;
      }),
    );
    expect(accepted).toEqual([]);
  });

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
