import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openAuthority, type CertificateAuthority } from '@muster/server/ca/authority.js';
import { createKey } from '@muster/server/ca/key-file.js';
import { openSigner } from '@muster/server/ca/signer.js';
import { findCertificate } from '@muster/server/store/certificates.js';
import type { Store } from '@muster/server/store/store.js';
import { certificateIdentity, publicKeyDer, publicKeyHash } from '@muster/shared/pki/certificate.js';
import type { Role } from '@muster/shared/spiffe.js';
import { createLocalJWKSet } from 'jose';
import { signPermit, verifyPermit } from '@muster/shared/tokens/permit.js';
import { FakeClock } from '../../support/fake-clock.js';
import { memoryStore } from '../../support/store.js';

const hour = 3_600_000;
const clock = new FakeClock(new Date('2026-11-01T00:00:00.500Z'));
const publicKey = publicKeyDer(createPublicKey(createKey()));
let directory: string;
let store: Store;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'muster-ca-'));
  store = await memoryStore();
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});

const open = (trustDomain = 'federation.example'): Promise<CertificateAuthority> =>
  openAuthority(store, directory, trustDomain, clock);

async function issue(ca: CertificateAuthority, role: Role, hosts?: string[]): Promise<X509Certificate> {
  const { chain } = await store.transaction((tx) =>
    ca.issue(tx, { role, name: 'a' }, publicKey, hour, hosts),
  );
  expect(chain).toHaveLength(1);
  return new X509Certificate(chain[0] ?? new Uint8Array());
}

describe('the federation CA', () => {
  it('is made once and stays the same', async () => {
    const [first, second] = [await open(), await open()];
    expect(second.hash).toBe(first.hash);
    expect(second.bundle).toEqual(first.bundle);
    expect(statSync(join(directory, 'ca-key.pem')).mode & 0o777).toBe(0o600);
  });

  it('is one CA when two processes make it at once', async () => {
    const [first, second] = await Promise.all([open(), open()]);
    expect(second.bundle).toEqual(first.bundle);
  });

  it('is a CA that certifies leaves of its trust domain only, and whose key is what agents pin', async () => {
    const ca = await open();
    const root = new X509Certificate(ca.bundle[0] ?? new Uint8Array());
    expect(root.ca).toBe(true);
    expect(root.subjectAltName).toBe('URI:spiffe://federation.example');
    expect(ca.hash).toBe(publicKeyHash(root));
  });

  it('issues certificates that name the role and chain to it', async () => {
    const ca = await open();
    const root = new X509Certificate(ca.bundle[0] ?? new Uint8Array());
    for (const role of ['site', 'operator', 'framework', 'auditor', 'server'] as const) {
      const leaf = await issue(ca, role);
      expect(leaf.checkIssued(root) && leaf.verify(root.publicKey)).toBe(true);
      expect(leaf.ca).toBe(false);
      expect(certificateIdentity(leaf)).toEqual({ trustDomain: 'federation.example', role, name: 'a' });
      expect(Date.parse(leaf.validTo)).toBe(clock.now().getTime() + hour - 500);
      expect(leaf.keyUsage).toEqual(
        role === 'server' ? ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'] : ['1.3.6.1.5.5.7.3.2'],
      );
    }
  });

  it('names the hosts of a server', async () => {
    const leaf = await issue(await open(), 'server', ['muster.example', '127.0.0.1', '::1']);
    expect(leaf.checkHost('muster.example')).toBe('muster.example');
    expect(leaf.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(leaf.checkIP('::1')).toBeDefined();
    expect(certificateIdentity(leaf)?.role).toBe('server');
  });

  it('records what it issues', async () => {
    const leaf = await issue(await open(), 'site');
    const fingerprint = leaf.fingerprint256.replaceAll(':', '').toLowerCase();
    const row = await store.transaction((tx) => findCertificate(tx, fingerprint));
    expect(row).toMatchObject({ serial: leaf.serialNumber.toLowerCase(), role: 'site', revoked_at: null });
    expect(row?.not_after).toBe(Date.parse(leaf.validTo));
  });

  it('issues nothing that outlives it', async () => {
    const ca = await open();
    const { notAfter } = await store.transaction((tx) =>
      ca.issue(tx, { role: 'site', name: 'a' }, publicKey, 100 * 365 * 24 * hour),
    );
    expect(notAfter).toEqual(new Date(new X509Certificate(ca.bundle[0] ?? new Uint8Array()).validTo));
  });
});

describe('the files of the CA are refused', () => {
  it('when others can read the key', async () => {
    await open();
    chmodSync(join(directory, 'ca-key.pem'), 0o644);
    await expect(open()).rejects.toMatchObject({ code: 'KEY_FILE_EXPOSED' });
  });

  it('when the key is damaged, which is then left as it is', async () => {
    await open();
    writeFileSync(join(directory, 'ca-key.pem'), 'x');
    await expect(open()).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
    expect(readFileSync(join(directory, 'ca-key.pem'), 'utf8')).toBe('x');
  });

  it('when the certificate is damaged or of another key', async () => {
    await open();
    rmSync(join(directory, 'ca-key.pem'));
    await expect(open()).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
    writeFileSync(join(directory, 'ca.pem'), 'x');
    await expect(open()).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  });

  it('when they are of another trust domain', async () => {
    await open();
    await expect(open('other.example')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('the signer', () => {
  it('signs what its key set verifies, also after a restart', async () => {
    const server = { trustDomain: 'federation.example', role: 'server', name: 'central' } as const;
    const signer = await openSigner(directory, server);
    const permit = {
      jobId: 'job-1',
      generation: 1,
      participants: [{ name: 'site-1', results: {} }],
      issuedAt: new Date('2026-11-01T00:00:00Z'),
      expiresAt: new Date('2026-11-01T01:00:00Z'),
    };
    const jwt = await signPermit(permit, signer);
    const { jwks, issuer, trustDomain } = await openSigner(directory, server);
    const keys = createLocalJWKSet(JSON.parse(jwks) as Parameters<typeof createLocalJWKSet>[0]);
    await expect(verifyPermit(jwt, { keys, issuer, trustDomain, at: permit.issuedAt })).resolves.toEqual(
      permit,
    );
    expect(jwks).not.toContain('"d"');
  });
});
