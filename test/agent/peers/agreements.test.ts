import { Agreements, type Agreement, type PermitOffer } from '@muster/agent/peers/agreements.js';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { MusterError } from '@muster/shared/errors.js';
import { formatSpiffeId, type Identity } from '@muster/shared/spiffe.js';
import { signPermit } from '@muster/shared/tokens/permit.js';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';

const at = new Date('2026-03-01T12:00:00Z');
const later = new Date(at.getTime() + 600_000);
const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const identity: Identity & { readonly role: 'server' } = {
  trustDomain: 'hospitals.example',
  role: 'server',
  name: 'muster',
};
const jwk = { ...createPublicKey(key).export({ format: 'jwk' }), kid: 'k1', alg: 'ES256' };
const jwks = JSON.stringify({ keys: [jwk] });

describe('what a site has agreed to', () => {
  let agreements: Agreements;
  beforeEach(() => {
    agreements = new Agreements();
  });

  const agree = (change: Partial<Agreement> = {}): void =>
    agreements.add({ jobId: 'job-1', generation: 1n, sites: ['site-1', 'site-2'], until: later, ...change });
  const accept = async (
    names: readonly string[] = ['site-1', 'site-2'],
    { jobId = 'job-1', generation = 1n, ...change }: Partial<PermitOffer> = {},
  ): Promise<string> => {
    const participants = ['muster', ...names].map((name) => ({ name, results: {} }));
    const permit = await signPermit(
      { jobId: 'job-1', generation: Number(generation), participants, issuedAt: at, expiresAt: later },
      { issuer: formatSpiffeId(identity), trustDomain: identity.trustDomain, keyId: 'k1', key },
    );
    const server = { identity, publicKey: new Uint8Array() };
    return agreements.accept({ jobId, generation, permit, server, jwks, at, ...change }).then(
      () => 'accepted',
      (error: unknown) => (error instanceof MusterError ? error.code : String(error)),
    );
  };

  it('is the latest generation of a job, in whatever order its checks end', async () => {
    agree({ generation: 2n });
    agree({ generation: 1n });
    expect(await accept(undefined, { generation: 2n })).toBe('accepted');
    expect(await accept(undefined, { generation: 1n })).toBe('JOB_NOT_ADMITTED');
  });

  it('is replaced by another check of the same generation', async () => {
    agree({ sites: ['site-1'] });
    agree();
    expect(await accept()).toBe('accepted');
  });

  it('is taken back up to a generation, and no further', async () => {
    agree({ generation: 2n });
    agreements.revoke('job-1', 1n);
    expect(await accept(undefined, { generation: 2n })).toBe('accepted');
    agreements.revoke('job-1', 2n);
    expect(await accept(undefined, { generation: 2n })).toBe('JOB_NOT_ADMITTED');
    agreements.revoke('job-1', 3n);
  });

  it('is no yes to another job, even where the site has agreed to both', async () => {
    agree();
    agree({ jobId: 'job-2' });
    expect(await accept(undefined, { jobId: 'job-2' })).toBe('PERMIT_INVALID');
  });

  it.each([
    ['as many, but others', ['site-1', 'site-3']],
    ['one of them twice', ['site-1', 'site-2', 'site-2']],
    ['fewer', ['site-1']],
    ['more', ['site-1', 'site-2', 'site-3']],
  ])('is no yes to a permit that names %s', async (_what, names) => {
    agree();
    expect(await accept(names)).toBe('PERMIT_INVALID');
  });

  it('ends at the moment when the first proof does', async () => {
    agree({ until: new Date(at.getTime() + 1) });
    expect(await accept()).toBe('accepted');
    agree({ until: at });
    expect(await accept()).toBe('ATTESTATION_EXPIRED');
  });

  it('does not end where everybody is exempt', async () => {
    agree({ until: undefined });
    expect(await accept()).toBe('accepted');
  });

  it.each(['', '{}', 'null'])('accepts nothing by the keys %p', async (unreadable) => {
    agree();
    expect(await accept(undefined, { jwks: unreadable })).toBe('PERMIT_INVALID');
  });

  it('is forgotten when 10,000 others came after it', async () => {
    agree();
    for (let job = 2; job <= 10_000; job += 1) agree({ jobId: `job-${job}` });
    expect(await accept()).toBe('accepted');
    agree({ jobId: 'job-10001' });
    expect(await accept()).toBe('JOB_NOT_ADMITTED');
  });
});
