import { describe, expect, it } from '@jest/globals';
import { signPermit, verifyPermit, type Permit } from '@muster/shared/tokens/permit.js';
import { createLocalJWKSet, SignJWT } from 'jose';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';

const trustDomain = 'hospitals.example';
const issuer = `spiffe://${trustDomain}/server/muster`;
const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const signer = { issuer, trustDomain, keyId: 'k1', key };
const jwk = { ...createPublicKey(key).export({ format: 'jwk' }), kid: 'k1', alg: 'ES256' };
const keys = createLocalJWKSet({ keys: [jwk] });
const permit: Permit = {
  jobId: 'job-1',
  generation: 2,
  participants: [
    { name: 'muster', results: {} },
    { name: 'site-1', results: { 'x-a': 'a'.repeat(64) } },
  ],
  issuedAt: new Date('2026-03-01T12:00:00Z'),
  expiresAt: new Date('2026-03-01T12:10:00Z'),
};
const expected = { keys, issuer, trustDomain, at: new Date('2026-03-01T12:09:59Z') };
const invalid = { code: 'PERMIT_INVALID' };

describe('a permit', () => {
  it('is read as it was signed', async () => {
    expect(await verifyPermit(await signPermit(permit, signer), expected)).toEqual(permit);
  });

  it('is refused once it has expired', async () => {
    const at = new Date('2026-03-01T12:10:00Z');
    await expect(verifyPermit(await signPermit(permit, signer), { ...expected, at })).rejects.toMatchObject(
      invalid,
    );
  });

  it.each([
    ['another key', { key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey }],
    ['another server', { issuer: `spiffe://${trustDomain}/server/other` }],
    ['another trust domain', { trustDomain: 'other.example' }],
    ['an unknown key id', { keyId: 'k2' }],
  ])('is refused from %s', async (_title, change) => {
    const jwt = await signPermit(permit, { ...signer, ...change });
    await expect(verifyPermit(jwt, expected)).rejects.toMatchObject(invalid);
  });

  it('is refused when it is another kind of JWT of the same server', async () => {
    const jwt = await new SignJWT({ muster_generation: 1, muster_participants: permit.participants })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: 'k1' })
      .setIssuer(issuer)
      .setAudience(`spiffe://${trustDomain}`)
      .setSubject('job-1')
      .setIssuedAt(permit.issuedAt)
      .setExpirationTime(permit.expiresAt)
      .sign(key);
    await expect(verifyPermit(jwt, expected)).rejects.toMatchObject(invalid);
  });

  it('is refused without participants or with a generation that is none', async () => {
    for (const change of [{ participants: [] }, { generation: 0 }]) {
      const jwt = await signPermit({ ...permit, ...change }, signer);
      await expect(verifyPermit(jwt, expected)).rejects.toMatchObject(invalid);
    }
  });
});
