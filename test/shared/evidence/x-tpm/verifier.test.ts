import { createHash, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import { verdict } from '../../../support/snp-case.js';
import {
  allPcrs,
  attestationAttributes,
  be,
  ec384Key,
  ecKey,
  pcrValue,
  rsaKey,
  sized,
  spkiFingerprint,
  tpmName,
  tpmPublic,
  tpmQuote,
} from '../../../support/tpm-builder.js';
import { appraiseTpm, nonce, reportData, tpmCase, type TpmCaseOptions } from './tpm-case.js';

const spki = rsaKey.publicKey.export({ format: 'der', type: 'spki' });
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('genuine quotes', () => {
  const genuine: readonly (readonly [string, TpmCaseOptions])[] = [
    ['RSASSA', {}],
    ['RSAPSS', { signing: { scheme: 'rsapss' } }],
    ['ECDSA with P-256', { key: ecKey }],
    ['ECDSA with P-384', { key: ec384Key }],
    [
      'SHA-384 over the PCRs and the quote',
      { signing: { hash: 'sha384' }, fields: { digestHash: 'sha384' } },
    ],
    ['a key pinned by its SubjectPublicKeyInfo', { akPublic: spki, pinned: [spkiFingerprint(rsaKey)] }],
    ['the report data itself as the nonce', { fields: { nonce: reportData } }],
    ['a PCR of its allowed value', { policy: { pcrs: { sha256: { 7: [hex(pcrValue(7))] } } } }],
    [
      'two banks, as the policy asks',
      {
        fields: {
          selection: [
            { bank: 'sha256', indexes: [0, 7] },
            { bank: 'sha384', indexes: [10] },
          ],
        },
        policy: {
          pcr_selection: { sha256: [7, 0], sha384: [10] },
          pcrs: { sha384: { 10: [hex(pcrValue(10, 'sha384'))] } },
        },
      },
    ],
    ['no values, where the policy has none', { pcrs: null }],
    ['an unsafe clock, where the policy does not ask', { fields: { safe: 0 } }],
    ['a safe clock, where the policy asks', { policy: { require_safe_clock: true } }],
    [
      'a SHA-1 bank of which no PCR is quoted',
      {
        fields: {
          selection: [
            { bank: 'sha1', indexes: [] },
            { bank: 'sha256', indexes: allPcrs },
          ],
        },
      },
    ],
  ];

  it.each(genuine)('%s: affirmed', (_, options) => {
    expect(appraiseTpm(options)).toMatchObject({ status: 'affirming', reasons: [] });
  });

  it('says what was not checked', () => {
    const { unchecked } = appraiseTpm({ pcrs: null, input: { reportData: undefined } as never });
    expect(unchecked).toEqual(['report_data', 'pcr_selection', 'pcr_values']);
    expect(appraiseTpm({ policy: { pcr_selection: { sha256: allPcrs } } }).unchecked).toEqual([]);
  });

  it('shows what the quote says', () => {
    expect(appraiseTpm().claims).toMatchObject({
      quote_signature: 'holds',
      ak_proven: true,
      ak_name: tpmName(tpmPublic(rsaKey)),
      ak_fingerprint: spkiFingerprint(rsaKey),
      ak_attributes: ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'restricted', 'sign'],
      nonce: hex(nonce),
      pcr_selection: { sha256: allPcrs },
      clock: { clock_ms: '123456', reset_count: 2, restart_count: 1, safe: true },
      firmware_version: '0x2019102300163636',
    });
  });

  it('claims the executables only where the policy has values', () => {
    expect(appraiseTpm().trustworthiness).toEqual({ 'instance-identity': 2, executables: 0 });
    const measured = appraiseTpm({ policy: { pcrs: { sha256: { 0: [hex(pcrValue(0))] } } } });
    expect(measured.trustworthiness).toEqual({ 'instance-identity': 2, executables: 2 });
  });
});

describe('refused quotes', () => {
  const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const weakRsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' });
  const withAttributes = (attributes: number): TpmCaseOptions => ({
    akPublic: tpmPublic(rsaKey, attributes),
  });
  const without = (bit: number): TpmCaseOptions => withAttributes(attestationAttributes & ~(1 << bit));

  const refused: readonly (readonly [string, string, TpmCaseOptions])[] = [
    ['another magic', 'TPM_QUOTE_UNREADABLE', { fields: { magic: 0xff544348 } }],
    ['another type: a certified key', 'TPM_QUOTE_UNREADABLE', { fields: { type: 0x8017 } }],
    [
      'a byte after the quote',
      'TPM_QUOTE_UNREADABLE',
      { alter: (quote) => Buffer.concat([quote, be(0, 1)]) },
    ],
    ['a clock flag of 2', 'TPM_QUOTE_UNREADABLE', { fields: { safe: 2 } }],
    [
      'a bank twice',
      'TPM_QUOTE_UNREADABLE',
      {
        fields: {
          selection: [
            { bank: 'sha256', indexes: [0] },
            { bank: 'sha256', indexes: [1] },
          ],
        },
      },
    ],
    [
      'a signature of another quote',
      'TPM_QUOTE_SIGNATURE',
      { signature: (signature) => flip(signature, 40) },
    ],
    ['a signature of an unknown scheme', 'TPM_SIGNATURE_UNREADABLE', { signature: (s) => flip(s, 1) }],
    [
      'a byte after the signature',
      'TPM_SIGNATURE_UNREADABLE',
      { signature: (signature) => Buffer.concat([signature, be(0, 1)]) },
    ],
    ['another key than the one that signed', 'TPM_QUOTE_SIGNATURE', { akPublic: tpmPublic(otherRsa) }],
    [
      'an ECDSA signature under an RSA key',
      'TPM_QUOTE_SIGNATURE',
      { key: ecKey, akPublic: tpmPublic(rsaKey) },
    ],
    ['an RSA signature under an ECC key', 'TPM_QUOTE_SIGNATURE', { key: rsaKey, akPublic: tpmPublic(ecKey) }],
    ...[4, 38].map((at): [string, string, TpmCaseOptions] => [
      `an ECDSA signature with a number that is too long, at ${at}`,
      'TPM_QUOTE_SIGNATURE',
      {
        key: ecKey,
        signature: (s) => Buffer.concat([s.subarray(0, at), be(33, 2), be(0, 1), s.subarray(at + 2)]),
      },
    ]),
    ['SHA-1', 'TPM_AK_WEAK', { signing: { hash: 'sha1' } }],
    ['RSA of 1024 bits', 'TPM_AK_WEAK', { key: weakRsa }],
    ['P-521', 'TPM_AK_WEAK', { key: p521, akPublic: p521.publicKey.export({ format: 'der', type: 'spki' }) }],
    ['a key that is none', 'TPM_AK_UNREADABLE', { akPublic: Uint8Array.of(1, 2, 3) }],
    ['a key with a byte after it', 'TPM_AK_UNREADABLE', { akPublic: Buffer.concat([spki, be(0, 1)]) }],
    [
      'a public area with a byte after it',
      'TPM_AK_UNREADABLE',
      { akPublic: Buffer.concat([tpmPublic(rsaKey), be(0, 1)]) },
    ],
    ['an unknown attribute', 'TPM_AK_UNREADABLE', withAttributes(attestationAttributes | (1 << 3))],
    ['a key that can leave the TPM', 'TPM_AK_ATTRIBUTES', without(1)],
    ['a key that can be duplicated', 'TPM_AK_ATTRIBUTES', without(4)],
    ['a key that was made outside', 'TPM_AK_ATTRIBUTES', without(5)],
    ['a key that signs anything', 'TPM_AK_ATTRIBUTES', without(16)],
    ['a key that may not sign', 'TPM_AK_ATTRIBUTES', without(18)],
    ['a key that also decrypts', 'TPM_AK_ATTRIBUTES', withAttributes(attestationAttributes | (1 << 17))],
    ['a key from the evidence alone', 'TPM_AK_UNPROVEN', { pinned: [] }],
    ['another pinned key', 'TPM_AK_UNPROVEN', { pinned: [spkiFingerprint(ecKey)] }],
    [
      'a pinned name whose public area was left out',
      'TPM_AK_UNPROVEN',
      { akPublic: spki, pinned: [tpmName(tpmPublic(rsaKey))] },
    ],
    ['another nonce', 'TPM_NONCE', { fields: { nonce: new Uint8Array(32).fill(1) } }],
    ['a part of the nonce', 'TPM_NONCE', { fields: { nonce: nonce.subarray(0, 31) } }],
    ['a nonce that is too long', 'TPM_NONCE', { fields: { nonce: Buffer.concat([reportData, be(0, 1)]) } }],
    ['no nonce', 'TPM_NONCE_EMPTY', { fields: { nonce: new Uint8Array() } }],
    [
      'no nonce, where none is known',
      'TPM_NONCE_EMPTY',
      { fields: { nonce: new Uint8Array() }, input: { reportData: undefined } as never },
    ],
    ['no PCRs', 'TPM_PCR_SELECTION', { fields: { selection: [{ bank: 'sha256', indexes: [] }] } }],
    ['no bank', 'TPM_PCR_SELECTION', { fields: { selection: [] } }],
    [
      'PCRs of the SHA-1 bank',
      'TPM_PCR_SELECTION',
      { fields: { selection: [{ bank: 'sha1', indexes: [0] }] } },
    ],
    [
      'fewer PCRs than asked for',
      'TPM_PCR_SELECTION',
      {
        fields: { selection: [{ bank: 'sha256', indexes: [0, 1] }] },
        policy: { pcr_selection: { sha256: [0, 1, 7] } },
      },
    ],
    ['more PCRs than asked for', 'TPM_PCR_SELECTION', { policy: { pcr_selection: { sha256: [0, 1, 7] } } }],
    [
      'the bank that was not asked for',
      'TPM_PCR_SELECTION',
      { policy: { pcr_selection: { sha384: allPcrs } } },
    ],
    ['a short list of values', 'TPM_PCR_COUNT', { pcrs: allPcrs.slice(1).map((index) => pcrValue(index)) }],
    ['no values although there are PCRs', 'TPM_PCR_COUNT', { pcrs: [] }],
    [
      'values in another order',
      'TPM_PCR_DIGEST',
      { pcrs: allPcrs.toReversed().map((index) => pcrValue(index)) },
    ],
    [
      'a value of another length, with the same concatenation',
      'TPM_PCR_DIGEST',
      {
        fields: { selection: [{ bank: 'sha256', indexes: [0, 1] }] },
        pcrs: [new Uint8Array(31).fill(1), Buffer.concat([Uint8Array.of(1), pcrValue(1)])],
      },
    ],
    [
      'a value that the policy does not allow',
      'TPM_PCR_VALUE',
      { policy: { pcrs: { sha256: { 7: [hex(pcrValue(8))] } } } },
    ],
    ['a PCR without an allowed value', 'TPM_PCR_VALUE', { policy: { pcrs: { sha256: { 7: [] } } } }],
    [
      'no values, where the policy has one',
      'TPM_PCR_VALUE',
      { pcrs: null, policy: { pcrs: { sha256: { 7: [hex(pcrValue(7))] } } } },
    ],
    [
      'a PCR of the policy that was not quoted',
      'TPM_PCR_VALUE',
      {
        fields: { selection: [{ bank: 'sha256', indexes: [0] }] },
        policy: { pcrs: { sha256: { 7: [hex(pcrValue(7))] } } },
      },
    ],
    [
      'an unsafe clock, where the policy asks',
      'TPM_CLOCK_UNSAFE',
      { fields: { safe: 0 }, policy: { require_safe_clock: true } },
    ],
    ['an invalid time', 'TPM_CLOCK_INVALID', { input: { at: new Date(Number.NaN) } }],
  ];

  it.each(refused)('%s: %s', (_, code, options) => {
    expect(verdict(appraiseTpm(options))).toBe(`contraindicated ${code}`);
  });

  it('collects every reason once the signature holds', () => {
    const appraisal = appraiseTpm({
      pinned: [],
      fields: { nonce: new Uint8Array(32) },
      policy: { pcr_selection: { sha256: [0] }, pcrs: { sha256: { 7: [] } } },
    });
    expect(verdict(appraisal)).toBe(
      'contraindicated TPM_AK_UNPROVEN TPM_NONCE TPM_PCR_SELECTION TPM_PCR_VALUE',
    );
    expect(appraisal.trustworthiness).toEqual({ 'instance-identity': 96, executables: 96 });
    expect(appraisal.claims).toMatchObject({ quote_signature: 'holds', ak_proven: false });
  });

  it('says that the instance is not known where the key or the nonce is wrong', () => {
    for (const options of [{ pinned: [] }, { fields: { nonce: new Uint8Array(32) } }]) {
      expect(appraiseTpm(options).trustworthiness).toEqual({ 'instance-identity': 96, executables: 0 });
    }
  });

  it('believes nothing of a quote whose signature does not hold', () => {
    expect(appraiseTpm({ signature: (signature) => flip(signature, 40) })).toMatchObject({
      claims: {},
      trustworthiness: { 'instance-identity': 99, executables: 99 },
    });
  });

  it('refuses evidence that is no evidence', () => {
    const input = tpmCase();
    const texts = [
      '',
      '{}',
      '[]',
      'null',
      '{"ak_public":"AA==","tpm_quote":{"message":"AA==","signature":"AA=="},"more":1}',
    ];
    for (const text of texts) {
      const evidence = { namespace: 'x-tpm', evidence: new TextEncoder().encode(text) };
      expect(verdict(tpmVerifier.appraise({ ...input, evidence }))).toBe(
        'contraindicated TPM_EVIDENCE_UNREADABLE',
      );
    }
  });
});

it('the name of a key covers its attributes', () => {
  const area = tpmPublic(rsaKey);
  expect(tpmName(area)).not.toBe(tpmName(tpmPublic(rsaKey, attestationAttributes | (1 << 10))));
  expect(createHash('sha256').update(area.subarray(2)).digest('hex')).toBe(tpmName(area).slice(4));
});

it.each([
  ['a digest of another length', { trusted_aks: ['00'] }],
  ['a name of SHA-1', { trusted_aks: [`0004${'00'.repeat(20)}`] }],
  ['a PCR that does not exist', { pcr_selection: { sha256: [32] } }],
  ['a PCR twice', { pcr_selection: { sha256: [1, 1] } }],
  ['the SHA-1 bank', { pcr_selection: { sha1: [1] } }],
  ['a value of another bank', { pcrs: { sha384: { 1: ['00'.repeat(32)] } } }],
  ['a PCR that is no number', { pcrs: { sha256: { '01': ['00'.repeat(32)] } } }],
  ['an unknown field', { more: 1 }],
])('a policy with %s is refused', (_, policy) => {
  expect(tpmVerifier.policySchema.safeParse(policy).success).toBe(false);
});

it('asks for no endorsements', async () => {
  const { evidence, endorsements } = tpmCase();
  expect(await tpmVerifier.endorsementQueries(evidence, endorsements)).toEqual([]);
});

/** A copy with one bit changed. */
function flip(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

it('test quotes are what they are meant to be', () => {
  expect(tpmQuote({ nonce }).subarray(0, 6)).toEqual(Buffer.from('ff5443478018', 'hex'));
  expect(sized(Uint8Array.of(5))).toEqual(Buffer.from([0, 1, 5]));
});
