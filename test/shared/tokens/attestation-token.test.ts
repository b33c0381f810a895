import { describe, expect, it } from '@jest/globals';
import { MusterError } from '@muster/shared/errors.js';
import {
  attestationProfile,
  maxTokenBytes,
  openAttestationToken,
  signAttestationToken,
} from '@muster/shared/tokens/attestation-token.js';
import { writeDocument } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { reportData } from '@muster/shared/tokens/binding.js';
import { signJws } from '@muster/shared/tokens/jws.js';
import fc from 'fast-check';
import { CompactSign } from 'jose';
import { createHash, createPublicKey, randomBytes, sign as signBytes } from 'node:crypto';
import { presenter } from '../../support/tokens.js';

const issuedAt = new Date('2026-03-01T12:00:00Z');
const nonce = new Uint8Array(randomBytes(32));
const site = presenter('site-1');
const other = presenter('site-2');
const evidence = { namespace: 'x-a', evidence: Uint8Array.of(1, 2), auxiliary: Uint8Array.of(3) };

const input = {
  evidence,
  identity: site.identity,
  audience: 'spiffe://hospitals.example',
  nonce,
  issuedAt,
  lifetimeMs: 600_000,
  privateKey: site.privateKey,
};
const { kty, crv, x, y } = createPublicKey(site.privateKey).export({ format: 'jwk' });
const claims = {
  iss: 'spiffe://hospitals.example/site/site-1',
  aud: input.audience,
  iat: issuedAt.getTime() / 1000,
  exp: issuedAt.getTime() / 1000 + 600,
  eat_nonce: Buffer.from(nonce).toString('base64url'),
  eat_profile: attestationProfile,
  cnf: { jwk: { kty, crv, x, y } },
  muster_namespace: 'x-a',
  muster_evidence: 'AQI',
};
const sign = (content: unknown, header: object = {}, key = site.privateKey): Promise<string> =>
  new CompactSign(Buffer.from(JSON.stringify(content)))
    .setProtectedHeader({ alg: 'ES256', typ: 'muster-attestation+jwt', ...header })
    .sign(key);

/** `accepted`, or the code of the refusal. */
function outcomeOf(jws: string): string {
  try {
    openAttestationToken(jws);
    return 'accepted';
  } catch (error) {
    return error instanceof MusterError ? error.code : String(error);
  }
}

describe('an attestation token', () => {
  it('is read as it was signed', async () => {
    expect(openAttestationToken(await signAttestationToken(input))).toEqual({
      identity: site.identity,
      audience: input.audience,
      nonce,
      issuedAt,
      expiresAt: new Date(issuedAt.getTime() + 600_000),
      publicKey: site.publicKey,
      evidence,
    });
  });

  it('never lives longer than was asked for', async () => {
    const { expiresAt } = openAttestationToken(await signAttestationToken({ ...input, lifetimeMs: 5_900 }));
    expect(expiresAt).toEqual(new Date(issuedAt.getTime() + 5_000));
  });

  it('is refused when another key signed it', async () => {
    const forged = await sign(claims, {}, other.privateKey);
    expect(outcomeOf(forged)).toBe('TOKEN_SIGNATURE_INVALID');
  });

  it('is refused when it is a JWT of another type', async () => {
    expect(outcomeOf(await sign(claims, { typ: 'JWT' }))).toBe('TOKEN_SIGNATURE_INVALID');
  });

  it('is refused when it names another algorithm or demands an extension', () => {
    const typ = 'muster-attestation+jwt';
    expect(outcomeOf(signJws({ typ }, claims, site.privateKey))).toBe('accepted');
    for (const header of [{ alg: 'none' }, { alg: 'HS256' }, { crit: 'b64' }]) {
      const jws = signJws({ typ, ...header }, claims, site.privateKey);
      expect(outcomeOf(jws)).toBe('TOKEN_SIGNATURE_INVALID');
    }
  });

  it('is refused with a header that is no object, a signature in another form, or a fourth part', async () => {
    const [header = '', payload = '', signature = ''] = (await sign(claims)).split('.');
    const wrong = [
      ['bnVsbA', payload, signature],
      ['Zm9v', payload, signature],
      [header, payload, ''],
      [header, payload, `${signature}AA`],
      [header, payload, `${signature}==`],
      [header, payload, signature, signature],
    ];
    for (const parts of wrong) expect(outcomeOf(parts.join('.'))).toBe('TOKEN_SIGNATURE_INVALID');
  });

  it('is refused with its signature in another writing, or over a fourth part', async () => {
    const jws = await sign(claims);
    // The last character of 64 bytes in base64url carries two bits; the other four are ignored by lenient readers.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const rewritten = jws.slice(0, -1) + alphabet[alphabet.indexOf(jws.at(-1) ?? '') | 1];
    expect(rewritten).not.toBe(jws);
    expect(outcomeOf(rewritten)).toBe('TOKEN_SIGNATURE_INVALID');

    const [header, payload] = jws.split('.');
    const signed = `${header}.${payload}.e30`;
    const signature = signBytes('sha256', Buffer.from(signed), {
      key: site.privateKey,
      dsaEncoding: 'ieee-p1363',
    });
    expect(outcomeOf(`${signed}.${signature.toString('base64url')}`)).toBe('TOKEN_SIGNATURE_INVALID');
  });

  it('has room for the evidence of 16 GPUs, as large as that of real ones', async () => {
    const [reportBytes, certificateBytes] = [4_117, [897, 596, 686, 654, 527]];
    const devices = Array.from({ length: 16 }, () => ({
      report: randomBytes(reportBytes),
      certificates: certificateBytes.map((length) => randomBytes(length)),
    }));
    const evidence = { namespace: 'x-nv-gpu', evidence: writeDocument({ devices }) };
    const opened = openAttestationToken(await signAttestationToken({ ...input, evidence }));
    expect(opened.evidence).toEqual(evidence);
  });

  it('is refused above 512 KiB', () => {
    expect(outcomeOf('a'.repeat(maxTokenBytes + 1))).toBe('TOKEN_OVERSIZED');
    expect(outcomeOf('a'.repeat(maxTokenBytes))).toBe('TOKEN_MALFORMED');
  });

  const malformed: readonly [string, object][] = [
    ['an issuer that is no SPIFFE id', { iss: 'site-1' }],
    ['no audience', { aud: undefined }],
    ['a date that is no whole second', { iat: 1.5 }],
    ['a negative date', { exp: -1 }],
    ['a date beyond the year 9999', { exp: 253_402_300_800 }],
    ['a nonce of another length', { eat_nonce: 'AQID' }],
    ['another profile', { eat_profile: 'tag:other' }],
    ['a key of another curve', { cnf: { jwk: { kty, crv: 'P-384', x, y } } }],
    ['a key that is not on the curve', { cnf: { jwk: { kty, crv, x, y: x } } }],
    ['a private key', { cnf: { jwk: { kty, crv, x, y, d: x } } }],
    ['no namespace', { muster_namespace: '' }],
    ['no evidence', { muster_evidence: '' }],
    ['evidence that is not base64url', { muster_evidence: 'A+/=' }],
    ['an unknown claim', { admin: true }],
  ];
  it.each(malformed)('is refused with %s', async (_title, change) => {
    expect(outcomeOf(await sign({ ...claims, ...change }))).toBe('TOKEN_MALFORMED');
  });

  it('is refused whatever else the text is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/)), (text) => {
        expect(outcomeOf(text)).toBe('TOKEN_MALFORMED');
      }),
    );
  });

  it('is refused when any character of it is changed', async () => {
    const jws = await signAttestationToken(input);
    fc.assert(
      fc.property(fc.nat(jws.length - 1), (index) => {
        const changed = jws[index] === 'A' ? 'B' : 'A';
        expect(outcomeOf(jws.slice(0, index) + changed + jws.slice(index + 1))).toMatch(
          /^TOKEN_(MALFORMED|SIGNATURE_INVALID)$/,
        );
      }),
    );
  });
});

describe('report data', () => {
  it('binds the nonce, the key, the trust domain, the role and the name', () => {
    const base = { nonce, publicKey: site.publicKey, identity: site.identity };
    const all = [
      base,
      { ...base, nonce: new Uint8Array(32) },
      { ...base, publicKey: other.publicKey },
      { ...base, identity: { ...site.identity, trustDomain: 'other.example' } },
      { ...base, identity: { ...site.identity, role: 'server' as const } },
      { ...base, identity: other.identity },
    ].map((binding) => Buffer.from(reportData(binding)).toString('hex'));
    expect(new Set(all).size).toBe(all.length);
  });

  it('is SHA-512 over label, nonce, key digest and SPIFFE id', () => {
    const expected = createHash('sha512')
      .update('muster-evidence-v1')
      .update(nonce)
      .update(createHash('sha256').update(site.publicKey).digest())
      .update('spiffe://hospitals.example/site/site-1')
      .digest();
    const { publicKey, identity } = site;
    expect(Buffer.from(reportData({ nonce, publicKey, identity }))).toEqual(expected);
  });

  it('takes a nonce of 32 bytes and no other', () => {
    const { publicKey, identity } = site;
    expect(() => reportData({ nonce: new Uint8Array(31), publicKey, identity })).toThrow(RangeError);
  });
});
