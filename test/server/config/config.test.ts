import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash, X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { issueRoot } from '@muster/server/ca/issue.js';
import { createKey } from '@muster/server/ca/key-file.js';
import { loadConfig } from '@muster/server/config/config.js';
import type { MusterError } from '@muster/shared/errors.js';
import { stringify } from 'yaml';

let directory: string;
const minimal = {
  name: 'central',
  trust_domain: 'federation.example',
  data_directory: 'data',
  listen: { session: '0.0.0.0:8443', enrollment: '[::1]:8444' },
  policy: 'policy.yaml',
};
const policy = 'servers: [{ name: central, require: [x-snp] }]\n';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'muster-config-'));
  writeFileSync(join(directory, 'policy.yaml'), policy);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function load(change: object = {}): ReturnType<typeof loadConfig> {
  const file = join(directory, 'server.yaml');
  writeFileSync(file, stringify({ ...minimal, ...change }));
  return loadConfig(file);
}

function refused(change: object): { code: string; paths: (string | undefined)[] } {
  try {
    load(change);
  } catch (error) {
    const { code, reasons } = error as MusterError;
    return { code, paths: reasons.map(({ path }) => path) };
  }
  throw new Error('the configuration was accepted');
}

describe('a configuration', () => {
  it('needs little, and reads paths from its own folder', () => {
    const config = load();
    expect(config.data_directory).toBe(join(directory, 'data'));
    expect(config.listen.session).toEqual({ host: '0.0.0.0', port: 8443 });
    expect(config.listen.enrollment).toEqual({ host: '::1', port: 8444 });
    expect(config.session).toMatchObject({ heartbeat_interval: 10_000, lease_ttl: 60_000 });
    expect(config.verification).toEqual({ period: 600_000 });
    expect(config.simulatedRoots).toEqual([]);
    expect(config.policy.servers).toHaveLength(1);
    expect(config.policyDigest).toBe(createHash('sha256').update(policy).digest('hex'));
  });

  it('accepts a schedule in the place of a period', () => {
    expect(load({ verification: { schedule: '*/5 * * * *' } }).verification).toEqual({
      schedule: '*/5 * * * *',
    });
  });

  it('takes the fingerprint of a simulated root from its certificate', async () => {
    const root = await issueRoot(createKey(), 'simulated', new Date(), new Date(Date.now() + 1e9));
    writeFileSync(join(directory, 'ark.der'), root);
    const { publicKey } = new X509Certificate(root);
    const spki = publicKey.export({ format: 'der', type: 'spki' });
    expect(
      load({ simulated_roots: [{ namespace: 'x-snp', certificate: 'ark.der' }] }).simulatedRoots,
    ).toEqual([{ namespace: 'x-snp', fingerprint: createHash('sha256').update(spki).digest('hex') }]);
  });
});

describe('a configuration is refused, with the path,', () => {
  const cases: readonly [string, object, string][] = [
    ['an unknown key', { color: 'blue' }, 'color'],
    ['an unknown key further down', { session: { colour: 'blue' } }, 'session.colour'],
    ['a missing key', { policy: undefined }, 'policy'],
    ['a wrong type', { name: 7 }, 'name'],
    ['a name that is no DNS label', { name: 'Central Server' }, 'name'],
    ['a trust domain that is none', { trust_domain: 'a/b' }, 'trust_domain'],
    ['an address without a port', { listen: { ...minimal.listen, session: 'localhost' } }, 'listen.session'],
    ['a port out of range', { listen: { ...minimal.listen, enrollment: 'a:70000' } }, 'listen.enrollment'],
    ['an unknown namespace', { attesters: [{ namespace: 'x-none' }] }, 'attesters[0].namespace'],
    [
      'a lease shorter than three heartbeats',
      { session: { heartbeat_interval: '10s', lease_ttl: '29s' } },
      'session.lease_ttl',
    ],
    ['a duration out of range', { session: { heartbeat_interval: '2m' } }, 'session.heartbeat_interval'],
    [
      'both a period and a schedule',
      { verification: { period: '1m', schedule: '* * * * *' } },
      'verification',
    ],
    ['neither a period nor a schedule', { verification: {} }, 'verification'],
    [
      'a schedule that is no cron expression',
      { verification: { schedule: 'daily' } },
      'verification.schedule',
    ],
    ['a limit below one', { limits: { connections: 0 } }, 'limits.connections'],
    [
      'a simulated root of an unknown namespace',
      { simulated_roots: [{ namespace: 'x-none', certificate: 'policy.yaml' }] },
      'simulated_roots[0].namespace',
    ],
    [
      'a simulated root that is no certificate',
      { simulated_roots: [{ namespace: 'x-snp', certificate: 'policy.yaml' }] },
      'simulated_roots[0].certificate',
    ],
    [
      'a simulated root that is not there',
      { simulated_roots: [{ namespace: 'x-snp', certificate: 'none.pem' }] },
      'simulated_roots[0].certificate',
    ],
    ['a URL of another scheme', { endorsements: { amd_url: 'ftp://a' } }, 'endorsements.amd_url'],
    ['an unknown log level', { log: { level: 'loud' } }, 'log.level'],
  ];
  it.each(cases)('for %s', (_, change, path) => {
    const { code, paths } = refused(change);
    expect(code).toBe('CONFIG_INVALID');
    expect(paths).toEqual([path]);
  });

  it('when several values are wrong, with each of them', () => {
    expect(refused({ name: 7, color: 'blue' }).paths).toEqual(expect.arrayContaining(['color', 'name']));
  });

  it('when its folder of endorsements is not there', () => {
    expect(refused({ endorsements: { offline_directory: 'nowhere' } })).toEqual({
      code: 'FILE_UNREADABLE',
      paths: ['endorsements.offline_directory'],
    });
  });

  it('when its policy is missing or not valid', () => {
    expect(refused({ policy: 'none.yaml' }).code).toBe('FILE_UNREADABLE');
    writeFileSync(join(directory, 'policy.yaml'), 'servers: []\n');
    expect(refused({}).code).toBe('POLICY_INVALID');
  });
});
