import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '../support/live/program.js';
import { programs } from '../support/live/workspace.js';

/** A program with a wrong configuration ends at once, with a status and a sentence that names the place. */
describe('a wrong configuration', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'muster-misconfigured-'));
    write('policy.yaml', { servers: [{ name: 'server', require: ['x-snp'] }] });
    write('bad-policy.yaml', { servers: [{ name: 'server', require: ['x-nothing'] }] });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function write(name: string, content: unknown): string {
    const file = join(folder, name);
    writeFileSync(file, JSON.stringify(content));
    return file;
  }

  const device = { namespace: 'x-snp', interface: 'configfs-tsm', report_directory: '/nowhere' };
  const server = {
    name: 'server',
    trust_domain: 'wrong.example',
    data_directory: 'data',
    listen: { session: '127.0.0.1:0', enrollment: '127.0.0.1:0' },
    policy: 'policy.yaml',
    attesters: [device],
  };
  const agent = {
    name: 'site-1',
    server: { session: '127.0.0.1:1', enrollment: '127.0.0.1:1' },
    trust: { ca_hash: `sha256:${'0'.repeat(64)}` },
    join_token_file: 'join-token',
    state_directory: 'state',
    socket: 'agent.sock',
    policy: 'policy.yaml',
    attesters: [device],
  };

  it.each<[string, object, string, number]>([
    ['an unknown key', { colour: 'red' }, 'colour', 2],
    ['a wrong type', { attesters: 'x-snp' }, 'attesters', 2],
    ['a value out of range', { session: { heartbeat_interval: '1ms' } }, 'session.heartbeat_interval', 2],
    ['a policy for an unknown namespace', { policy: 'bad-policy.yaml' }, 'servers[0].require[0]', 2],
    ['no policy file', { policy: 'none.yaml' }, 'none.yaml', 2],
    ['a device that is not there', {}, 'failed to generate CC token', 1],
    ['no attester for what its policy requires', { attesters: [] }, 'no attester is configured', 1],
  ])(
    'ends the server: %s',
    async (name, change, said, code) => {
      const config = write(`server-${name.replaceAll(' ', '-')}.yaml`, { ...server, ...change });
      const end = await runProgram(programs.server, ['serve', '--config', config]);
      expect(end).toMatchObject({ code });
      expect(end.output).toContain(said);
    },
    60_000,
  );

  it.each([
    ['server', programs.server],
    ['agent', programs.agent],
  ])('gives wrong arguments a code, and says where help is: %s', async (name, program) => {
    const end = await runProgram(program, ['frobnicate']);
    expect(end).toMatchObject({ code: 2 });
    expect(end.output).toContain('ARGUMENT_INVALID');
    expect(end.output).toContain(`See \`muster-${name} help\`.`);
  });

  it.each<[string, object, string, number]>([
    ['an unknown key', { colour: 'red' }, 'colour', 2],
    ['no attesters', { attesters: undefined }, 'attesters', 2],
    [
      'a lifetime of zero',
      { attesters: [{ ...device, token_lifetime: '0s' }] },
      'attesters[0].token_lifetime',
      2,
    ],
    ['no trust', { trust: {} }, 'trust', 2],
    ['a device that is not there', {}, 'failed to generate CC token', 1],
  ])(
    'ends the agent: %s',
    async (name, change, said, code) => {
      const config = write(`agent-${name.replaceAll(' ', '-')}.yaml`, { ...agent, ...change });
      const end = await runProgram(programs.agent, ['start', '--config', config]);
      expect(end).toMatchObject({ code });
      expect(end.output).toContain(said);
    },
    60_000,
  );
});
