import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { loadProfile } from '@muster/cli/profile.js';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { issueCredential } from '@muster/server/ca/credential.js';
import { listCredentials } from '@muster/server/ca/revocation.js';
import { loadConfig, type ServerConfig } from '@muster/server/config/config.js';
import { certificateAuthentication } from '@muster/server/middleware/caller.js';
import { listAuditRecords } from '@muster/server/store/audit.js';
import { openSqliteStore } from '@muster/server/store/sqlite.js';
import { FakeClock } from '../../support/fake-clock.js';

const day = 86_400_000;
const clock = new FakeClock(new Date('2026-11-01T00:00:00Z'));
let directory: string;
let config: ServerConfig;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'muster-credential-'));
  writeFileSync(join(directory, 'policy.yaml'), 'servers: [{ name: central, require: [x-snp] }]\n');
  writeFileSync(
    join(directory, 'server.yaml'),
    [
      'name: central',
      'trust_domain: federation.example',
      'data_directory: data',
      'listen: { session: 0.0.0.0:8443, enrollment: 0.0.0.0:8444, advertise: [muster.example] }',
      'policy: policy.yaml',
    ].join('\n'),
  );
  config = loadConfig(join(directory, 'server.yaml'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const issue = (name = 'olga', out = 'olga'): ReturnType<typeof issueCredential> =>
  issueCredential(config, { role: 'operator', name, out: join(directory, out), lifetimeMs: 90 * day }, clock);

describe('a credential', () => {
  it('is a profile that the muster command takes, and that the server knows', async () => {
    const { profile, notAfter } = await issue();
    expect(notAfter).toEqual(new Date('2027-01-30T00:00:00Z'));
    const { server, identity } = loadProfile(profile);
    expect(server).toBe('muster.example:8443');
    expect(identity.trustDomain).toBe('federation.example');
    const store = await openSqliteStore(config.data_directory);
    const { raw } = new X509Certificate(identity.certificate?.chain ?? '');
    const authenticate = certificateAuthentication(store, 'federation.example', clock);
    await expect(authenticate({ raw } as never)).resolves.toMatchObject({ role: 'operator', name: 'olga' });
    const records = await store.transaction((tx) => listAuditRecords(tx, 1, 10));
    expect(records.map(({ content }) => JSON.parse(content) as object)).toEqual([
      expect.objectContaining({ action: 'credential.issue', subject: 'operator/olga' }),
    ]);
    await store.close();
  });

  it('keeps its key to its owner', async () => {
    await issue();
    expect(statSync(join(directory, 'olga', 'key.pem')).mode & 0o777).toBe(0o600);
  });

  it('is issued while the server runs, too', async () => {
    const store = await openSqliteStore(config.data_directory);
    await issue();
    await store.close();
  });

  it('overwrites nothing', async () => {
    await issue();
    const key = readFileSync(join(directory, 'olga', 'key.pem'), 'utf8');
    await expect(issue('oleg')).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    expect(readFileSync(join(directory, 'olga', 'key.pem'), 'utf8')).toBe(key);
  });

  it('is not issued where its files cannot be written', async () => {
    writeFileSync(join(directory, 'olga'), 'a file in the way');
    await expect(issue()).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    const store = await openSqliteStore(config.data_directory);
    expect(await listCredentials(store, clock)).toEqual([]);
    await store.close();
  });

  it('is refused for a name that is none', async () => {
    await expect(issue('Olga!')).rejects.toMatchObject({ code: 'PARTICIPANT_NAME_INVALID' });
  });
});
