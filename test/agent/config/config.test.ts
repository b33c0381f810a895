import { describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, loadSocketPath } from '@muster/agent/config/config.js';
import { MusterError } from '@muster/shared/errors.js';
import { useDirectory } from '../../support/directory.js';

const directory = useDirectory();

const good = {
  name: 'site-1',
  server: { session: 'muster.example:8443', enrollment: '[::1]:8444' },
  trust: { ca_hash: `sha256:${'ab'.repeat(32)}` },
  join_token_file: 'join-token',
  state_directory: 'state',
  socket: 'run/agent.sock',
  policy: 'policy.yaml',
  attesters: [{ namespace: 'x-snp', token_lifetime: '5m' }],
};

function write(config: object, policy: object = { servers: [{ name: '*', require: ['x-snp'] }] }): string {
  const file = join(directory.path, 'agent.yaml');
  writeFileSync(file, JSON.stringify(config));
  writeFileSync(join(directory.path, 'policy.yaml'), JSON.stringify(policy));
  return file;
}

function problems(config: object): string[] {
  try {
    loadConfig(write(config));
    return [];
  } catch (error) {
    return error instanceof MusterError ? error.reasons.map(({ code, path }) => `${code} ${path}`) : ['?'];
  }
}

describe("the agent's configuration", () => {
  it('is read with its defaults, and its paths are relative to its folder', () => {
    const file = write(good);
    expect(loadConfig(file)).toMatchObject({
      name: 'site-1',
      join_token_file: join(directory.path, 'join-token'),
      state_directory: join(directory.path, 'state'),
      socket: join(directory.path, 'run/agent.sock'),
      attesters: [{ namespace: 'x-snp', token_lifetime: 300_000 }],
      policy: { servers: [{ name: '*', require: ['x-snp'] }], sites: [] },
      simulatedRoots: [],
      jobs: { grace: 10_000 },
    });
    expect(loadSocketPath(file)).toBe(join(directory.path, 'run/agent.sock'));
  });

  it('may say explicitly that there are no attesters, and says so in no other way', () => {
    expect(problems({ ...good, attesters: [] })).toEqual([]);
    const { attesters: _, ...silent } = good;
    expect(problems(silent)).toEqual(['CONFIG_INVALID attesters']);
  });

  it.each<[string, object, string]>([
    ['an unknown key', { extra: 1 }, 'CONFIG_INVALID extra'],
    ['a name that is none', { name: 'Site 1' }, 'CONFIG_INVALID name'],
    [
      'an address without a port',
      { server: { ...good.server, session: 'muster' } },
      'CONFIG_INVALID server.session',
    ],
    [
      'a port that is none',
      { server: { ...good.server, session: 'm:70000' } },
      'CONFIG_INVALID server.session',
    ],
    ['no trust', { trust: {} }, 'CONFIG_INVALID trust'],
    ['two kinds of trust', { trust: { ...good.trust, bundle_file: 'ca.pem' } }, 'CONFIG_INVALID trust'],
    ['a hash that is none', { trust: { ca_hash: 'sha256:12' } }, 'CONFIG_INVALID trust.ca_hash'],
    ['a join token in the file', { join_token: 'secret' }, 'CONFIG_INVALID join_token'],
    [
      'two attesters of one namespace',
      { attesters: [{ namespace: 'x-snp' }, { namespace: 'x-snp' }] },
      'CONFIG_INVALID attesters[1].namespace',
    ],
    [
      'an attester of an unknown namespace',
      { attesters: [{ namespace: 'x-b' }] },
      'CONFIG_INVALID attesters[0].namespace',
    ],
    [
      'a lifetime that is a number',
      { attesters: [{ namespace: 'x-snp', token_lifetime: 300 }] },
      'CONFIG_INVALID attesters[0].token_lifetime',
    ],
    [
      'a lifetime of zero',
      { attesters: [{ namespace: 'x-snp', token_lifetime: '0s' }] },
      'CONFIG_INVALID attesters[0].token_lifetime',
    ],
    [
      'a simulated root that is no certificate',
      { simulated_roots: [{ namespace: 'x-snp', certificate: 'policy.yaml' }] },
      'CONFIG_INVALID simulated_roots[0].certificate',
    ],
    [
      'a folder of endorsements that is not there',
      { endorsements: { offline_directory: 'nowhere' } },
      'FILE_UNREADABLE endorsements.offline_directory',
    ],
  ])('is refused with %s', (_what, change, problem) => {
    expect(problems({ ...good, ...change })).toEqual([problem]);
  });

  it('is refused with a policy that is not valid', () => {
    const file = write(good, { servers: [] });
    expect(() => loadConfig(file)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });
});
