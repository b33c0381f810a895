import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { TrustOptions } from '@muster/agent/trust/server-trust.js';
import { SiteTrust } from '@muster/agent/trust/site-trust.js';
import { FakeMusterServer, trustDomain } from '../../support/fake-muster-server.js';

let directory: string;
let server: FakeMusterServer;
let next: FakeMusterServer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'muster-trust-'));
  [server, next] = [await FakeMusterServer.start(), await FakeMusterServer.start()];
});
afterEach(() => {
  server.stop();
  next.stop();
  rmSync(directory, { recursive: true, force: true });
});

const file = (): string => join(directory, 'state', 'trust.json');
const der = ({ bundle }: FakeMusterServer): Buffer => new X509Certificate(bundle).raw;
const pem = ({ bundle }: FakeMusterServer): string => String(new X509Certificate(bundle));

function siteTrust(configured: TrustOptions = { ca_hash: server.caHash }, domain?: string): SiteTrust {
  return new SiteTrust({ configured, address: server.enrollmentAddress, trustDomain: domain, file: file() });
}

describe('the trust of a site', () => {
  it('is that of its configuration until the server names its CAs', async () => {
    const { trustBundle } = await siteTrust().establish();
    expect(trustBundle).toBe(pem(server));
  });

  it('is kept: after the pinned CA is gone, the site knows the one that came after it', async () => {
    siteTrust().follow([der(server), der(next)], trustDomain);
    siteTrust().follow([der(next)], trustDomain);
    await expect(siteTrust().establish()).resolves.toEqual({ trustBundle: pem(next), trustDomain });
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  it.each<[string, () => SiteTrust]>([
    ['another CA is pinned', () => siteTrust({ ca_hash: next.caHash })],
    ['the trust domain is another', () => siteTrust(undefined, 'other.example')],
  ])('begins anew when %s', async (_, changed) => {
    siteTrust().follow([der(next)], trustDomain);
    const outcome = await changed()
      .establish()
      .catch((error: unknown) => error);
    expect(outcome).toMatchObject({ code: 'SERVER_IDENTITY_MISMATCH' });
  });

  it('begins anew when the bundle file has another content', async () => {
    const bundle = join(directory, 'bundle.pem');
    const configured = { bundle_file: bundle };
    writeFileSync(bundle, server.bundle);
    siteTrust(configured, trustDomain).follow([der(next)], trustDomain);
    expect((await siteTrust(configured, trustDomain).establish()).trustBundle).toBe(pem(next));
    writeFileSync(bundle, server.bundle + next.bundle);
    const { trustBundle } = await siteTrust(configured, trustDomain).establish();
    expect(trustBundle).toBe(pem(server) + pem(next));
  });

  it.each(['', '{}', '{"origin":"","trust_domain":"","certificates":[]}', 'x'.repeat(100)])(
    'is that of its configuration when what was kept cannot be used: %j',
    async (content) => {
      mkdirSync(join(directory, 'state'));
      writeFileSync(file(), content);
      expect((await siteTrust().establish()).trustBundle).toBe(pem(server));
    },
  );

  it.each<[string, () => Buffer[]]>([
    ['nothing', () => []],
    ['what is no certificate', () => [Buffer.from('x')]],
    ['a certificate that is no CA', () => [new X509Certificate(server.identity.chain).raw]],
    ['more than 8 CAs', () => Array.from({ length: 9 }, () => der(server))],
  ])('is not changed by %s', (_, certificates) => {
    siteTrust().follow([der(server)], trustDomain);
    const before = readFileSync(file(), 'utf8');
    expect(() => siteTrust().follow(certificates(), trustDomain)).toThrow(
      expect.objectContaining({ code: 'TRUST_BUNDLE_INVALID' }),
    );
    expect(readFileSync(file(), 'utf8')).toBe(before);
  });

  it('is not changed by the CA of another trust domain', () => {
    expect(() => siteTrust().follow([der(server)], 'other.example')).toThrow(
      expect.objectContaining({ code: 'TRUST_BUNDLE_INVALID' }),
    );
  });
});
