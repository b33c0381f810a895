import { describe, expect, it } from '@jest/globals';
import { knownDocuments, mergeEndorsements } from '@muster/shared/evidence/endorsements.js';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

describe('endorsements of several sources', () => {
  it('are put together, each once', () => {
    const first = { certificates: [bytes('a'), bytes('b')], crls: [bytes('l')] };
    const rim = { kind: 'nvidia-rim', content: bytes('r') } as const;
    const second = { certificates: [bytes('b')], crls: [bytes('l'), bytes('m')], documents: [rim, rim] };
    expect(mergeEndorsements(first, second)).toEqual({
      certificates: [bytes('a'), bytes('b')],
      crls: [bytes('l'), bytes('m')],
      documents: [rim],
    });
  });

  it('lose documents of a kind that nobody here knows', () => {
    const known = { kind: 'ocsp', content: bytes('o') };
    expect(knownDocuments([known, { kind: 'of-the-future', content: bytes('f') }])).toEqual([known]);
  });
});
