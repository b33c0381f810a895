import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { establishTrust } from '@muster/agent/trust/server-trust.js';
import { useDirectory } from '../../support/directory.js';
import { FakeMusterServer, trustDomain } from '../../support/fake-muster-server.js';

const directory = useDirectory();
let server: FakeMusterServer;

beforeAll(async () => {
  server = await FakeMusterServer.start();
});
afterAll(() => server.stop());

const refused = (code: string): Error => expect.objectContaining({ code }) as unknown as Error;

describe('trust in the server', () => {
  it('by a pinned hash is exactly the CA of that key', async () => {
    const trust = await establishTrust({ ca_hash: server.caHash }, server.enrollmentAddress, undefined);
    expect(trust.trustDomain).toBe(trustDomain);
    expect(trust.trustBundle.replaceAll(/\s/g, '')).toBe(server.bundle.replaceAll(/\s/g, ''));
    expect(server.calls).toEqual([]);
  });

  it('is refused when nothing presented has the pinned hash, and nothing is sent', async () => {
    const wrong = `sha256:${'00'.repeat(32)}`;
    await expect(establishTrust({ ca_hash: wrong }, server.enrollmentAddress, undefined)).rejects.toThrow(
      refused('SERVER_IDENTITY_MISMATCH'),
    );
    expect(server.calls).toEqual([]);
  });

  it('does not take a leaf for the CA, although its hash is the pinned one', async () => {
    const { createHash } = await import('node:crypto');
    const leafHash = `sha256:${createHash('sha256').update(server.identity.publicKey).digest('hex')}`;
    await expect(establishTrust({ ca_hash: leafHash }, server.enrollmentAddress, undefined)).rejects.toThrow(
      refused('SERVER_IDENTITY_MISMATCH'),
    );
  });

  it('is refused when the server is of another trust domain than configured', async () => {
    const pinned = { ca_hash: server.caHash };
    await expect(establishTrust(pinned, server.enrollmentAddress, 'other.example')).rejects.toThrow(
      refused('SERVER_IDENTITY_MISMATCH'),
    );
  });

  it('is refused when a site answers', async () => {
    const site = await FakeMusterServer.start({ role: 'site', name: 'site-9' });
    try {
      await expect(
        establishTrust({ ca_hash: site.caHash }, site.enrollmentAddress, undefined),
      ).rejects.toThrow(refused('SERVER_IDENTITY_MISMATCH'));
    } finally {
      site.stop();
    }
  });

  it('by a bundle file is in its certificates', async () => {
    const file = join(directory.path, 'ca.pem');
    writeFileSync(file, server.bundle);
    const trust = await establishTrust({ bundle_file: file }, 'unreachable.invalid:1', trustDomain);
    expect(trust.trustBundle.replaceAll(/\s/g, '')).toBe(server.bundle.replaceAll(/\s/g, ''));
  });

  it.each([
    ['is missing', undefined, 'FILE_UNREADABLE'],
    ['holds no certificate', 'nothing', 'CONFIG_INVALID'],
    ['is garbage', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'CONFIG_INVALID'],
  ])('is refused when the bundle file %s', async (_what, content, code) => {
    const file = join(directory.path, 'ca.pem');
    if (content !== undefined) writeFileSync(file, content);
    await expect(establishTrust({ bundle_file: file }, 'unreachable.invalid:1', trustDomain)).rejects.toThrow(
      refused(code),
    );
  });

  it('says when nobody answers', async () => {
    const listener: Server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const address = listener.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await expect(establishTrust({ ca_hash: server.caHash }, `127.0.0.1:${port}`, undefined)).rejects.toThrow(
      refused('SERVER_UNREACHABLE'),
    );
    listener.close();
  });
});
