import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const program = fileURLToPath(new URL('../../packages/server/bin/muster-server.js', import.meta.url));
let directory: string;
let config: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'muster-main-'));
  config = join(directory, 'server.yaml');
  writeFileSync(
    join(directory, 'policy.yaml'),
    'servers: [{ name: central, exempt: true, because: a test }]\n',
  );
  writeFileSync(
    config,
    [
      'name: central',
      'trust_domain: federation.example',
      'data_directory: data',
      'listen: { session: "127.0.0.1:0", enrollment: "127.0.0.1:0" }',
      'policy: policy.yaml',
    ].join('\n'),
  );
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the built program; `signalAt` is what it is ended at, on standard error. */
async function run(args: readonly string[], signalAt?: string): Promise<Outcome> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exit = once(child, 'exit');
  let seen = '';
  let signalled = false;
  child.stderr.on('data', (chunk: Buffer) => {
    seen += chunk.toString();
    // Once: a process that is about to exit no longer handles signals.
    if (signalled || signalAt === undefined || !seen.includes(signalAt)) return;
    signalled = true;
    child.kill('SIGTERM');
  });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = (await exit) as [number | null];
  return { status, out, err };
}

describe('muster-server', () => {
  it('serves until it is told to stop, and then ends in order', async () => {
    const { status, err } = await run(['serve', '--config', config], 'server.started');
    expect(err).toContain('server.stopped');
    expect(status).toBe(0);
  });

  it('prints the hash of the CA, always the same', async () => {
    const [first, second] = [
      await run(['ca', 'hash', '--config', config]),
      await run(['ca', 'hash', '--config', config]),
    ];
    expect(first.out).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect(second.out).toBe(first.out);
  });

  it('validates a configuration with its policy', async () => {
    expect(await run(['validate', '--config', config])).toMatchObject({ status: 0, err: '' });
    writeFileSync(join(directory, 'policy.yaml'), 'servers: [{ name: central, require: [x-none] }]\n');
    const { status, err } = await run(['validate', '--config', config]);
    expect(status).toBe(2);
    expect(err).toMatch(/^error: POLICY_INVALID: .*servers\[0\]/);
    expect(err.trim().split('\n')).toHaveLength(1);
  });

  it('says what it does not understand', async () => {
    expect((await run(['serve'])).status).toBe(2);
    const role = [
      'credential',
      'issue',
      '--config',
      config,
      '--role',
      'site',
      '--name',
      'a',
      '--out',
      directory,
    ];
    expect((await run(role)).status).toBe(2);
  });
});
