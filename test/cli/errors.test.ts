import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { refusal } from '@muster/shared/errors.js';
import { JobServiceService } from '@muster/shared/gen/muster/v1/job.js';
import type { ReasonCode } from '@muster/shared/reasons.js';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { muster } from '../support/cli.js';
import { createFederation } from '../support/members.js';
import { startFakeServices, type FakeServices } from '../support/fake-services.js';

let services: FakeServices;
beforeAll(async () => {
  services = await startFakeServices([JobServiceService]);
});
afterAll(() => services.close());

/** Writes a variant of the valid profile. */
function variant(name: string, change: (text: string) => string): string {
  const file = join(services.folder, `${name}.yaml`);
  writeFileSync(file, change(readFileSync(services.profile, 'utf8')));
  return file;
}

function getJob(profile: string, ...more: string[]): ReturnType<typeof muster> {
  return muster(['job', 'get', 'job-1', '--profile', profile, '-o', 'json', ...more]);
}

describe('a refusal', () => {
  it.each<[ReasonCode, number]>([
    ['JOB_UNKNOWN', 1],
    ['JOB_STATE', 1],
    ['INTERNAL', 1],
    ['ARGUMENT_INVALID', 2],
    ['SHUTTING_DOWN', 4],
    ['UNAUTHENTICATED', 5],
    ['PERMISSION_DENIED', 5],
  ])('%s exits %i', async (code, exit) => {
    services.answer({
      getJob: () => {
        throw refusal(code, { path: 'job_id' });
      },
    });
    const result = await getJob(services.profile);
    expect(result.code).toBe(exit);
    expect(result.json()).toMatchObject({ error: { code, path: 'job_id' } });
  });

  it('says code, message, remedy and path to people, on standard error', async () => {
    services.answer({
      getJob: () => {
        throw refusal('JOB_UNKNOWN', { path: 'job_id' });
      },
    });
    const { out, err } = await muster(['job', 'get', 'x', '--profile', services.profile]);
    expect(out).toBe('');
    expect(err).toBe(
      [
        'error: There is no such job.',
        '  JOB_UNKNOWN  job_id',
        '    Check the id with `muster job list`.',
        '',
      ].join('\n'),
    );
  });
});

describe('an unreachable server', () => {
  it('exits 4 when nobody listens', async () => {
    const profile = variant('nobody', (text) => text.replace(/127.*/, '127.0.0.1:1'));
    const { code, json } = await getJob(profile);
    expect(code).toBe(4);
    expect(json()).toMatchObject({ error: { code: 'SERVER_UNREACHABLE' } });
  });

  it.each([['get'], ['watch']])('exits 4 within the deadline when it stays silent (%s)', async (command) => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const profile = variant('silent', (text) => text.replace(/127.*/, `127.0.0.1:${port}`));
    const { code } = await muster(['job', command, 'x', '--profile', profile, '--timeout', '200ms']);
    silent.close();
    for (const socket of sockets) socket.destroy();
    expect(code).toBe(4);
  });

  it('is named in words, without those of the transport', async () => {
    const profile = variant('closed', (text) => text.replace(/127.*/, '127.0.0.1:1'));
    expect((await getJob(profile)).json()).toMatchObject({
      error: { message: 'The connection failed: connect ECONNREFUSED 127.0.0.1:1.' },
    });
  });
});

describe('a server that is not the one of the profile', () => {
  it.each([
    ['of another trust domain', (text: string) => text.replace('test.example', 'other.example')],
    ['of another CA', (text: string) => text.replace('bundle.pem', 'other-ca.pem')],
  ])('exits 5, since waiting mends nothing: %s', async (what, change) => {
    const { trustBundle } = await (await createFederation('test.example')).client('operator', 'eve');
    writeFileSync(join(services.folder, 'other-ca.pem'), trustBundle);
    const { code, json } = await getJob(variant(what.replaceAll(' ', '-'), change));
    expect(json()).toMatchObject({ error: { code: 'SERVER_IDENTITY_MISMATCH' } });
    expect(code).toBe(5);
  });
});

describe('unusable input exits 2', () => {
  it.each([
    ['a missing profile', 'nowhere', undefined, 'FILE_UNREADABLE'],
    ['an unknown key', 'unknown', (text: string) => `${text}colour: red\n`, 'PROFILE_INVALID'],
    ['a bad address', 'address', (text: string) => text.replace(/127.*/, 'host'), 'PROFILE_INVALID'],
    ['a port that is none', 'port', (text: string) => text.replace(/127.*/, 'h:70000'), 'PROFILE_INVALID'],
    ['a missing file', 'missing', (text: string) => text.replace('key.pem', 'none.pem'), 'FILE_UNREADABLE'],
  ])('%s', async (_, name, change, code) => {
    const profile = change === undefined ? join(services.folder, name) : variant(name, change);
    const result = await getJob(profile);
    expect(result.code).toBe(2);
    expect(result.json()).toMatchObject({ error: { code } });
  });

  it('a key that others can read', async () => {
    const key = join(services.folder, 'key.pem');
    chmodSync(key, 0o640);
    const result = await getJob(services.profile);
    chmodSync(key, 0o600);
    expect(result.code).toBe(2);
    expect(result.json()).toMatchObject({ error: { code: 'KEY_FILE_EXPOSED', path: 'key' } });
  });

  it('a file that is no certificate', async () => {
    writeFileSync(join(services.folder, 'bad.pem'), 'not PEM');
    const profile = variant('bad', (text) => text.replace('certificate.pem', 'bad.pem'));
    expect((await getJob(profile)).json()).toMatchObject({ error: { code: 'PROFILE_INVALID' } });
  });

  it.each([
    [['frobnicate']],
    [['job', 'get']],
    [['job', 'list', '--state', 'odd']],
    [['job', 'list', '--limit', '0']],
    [['job', 'get', 'x', '--timeout', 'soon']],
    [['job', 'report', 'x', '--state', 'running']],
    [['permit', 'verify', '--keys', 'x', '--at', 'yesterday']],
    [['reasons', 'NO_SUCH']],
  ])('%j', async (args) => {
    expect((await muster(args)).code).toBe(2);
  });

  it('as JSON for programs, also for arguments that cannot be parsed', async () => {
    const { code, json } = await muster(['job', 'get', '-o', 'json']);
    expect(code).toBe(2);
    expect(json()).toMatchObject({
      error: { code: 'ARGUMENT_INVALID', message: "missing required argument 'id'. See `muster help`." },
    });
  });

  it('with a code and what to do, once, for people', async () => {
    const { err } = await muster(['frobnicate']);
    expect(err).toBe(
      [
        "error: unknown command 'frobnicate'. See `muster help`.",
        '  ARGUMENT_INVALID',
        '    Correct the value that the path names.',
        '',
      ].join('\n'),
    );
  });

  it('a file that cannot be made', async () => {
    const file = join(services.folder, 'absent', 'token');
    const result = await muster(
      `token create a --profile ${services.profile} --out ${file} -o json`.split(' '),
    );
    expect(result.code).toBe(2);
    expect(result.json()).toMatchObject({ error: { code: 'FILE_UNWRITABLE', path: file } });
  });
});

describe('the profile', () => {
  it('may stand before the command', async () => {
    const { code, json } = await muster(['--profile', '/a/p.yaml', 'job', 'get', 'x', '-o', 'json']);
    expect(json()).toMatchObject({ error: { code: 'FILE_UNREADABLE', path: '/a/p.yaml' } });
    expect(code).toBe(2);
  });

  it('is the option, else MUSTER_PROFILE, else the one of the user', async () => {
    services.answer({ getJob: () => ({ job: undefined }) });
    const run = (env: Record<string, string>): ReturnType<typeof muster> =>
      muster(['job', 'get', 'x', '-o', 'json'], { env });
    const unreadable = async (env: Record<string, string>): Promise<unknown> =>
      ((await run(env)).json() as { error: { path: string } }).error.path;
    expect(await unreadable({ MUSTER_PROFILE: '/a/p.yaml', HOME: '/h' })).toBe('/a/p.yaml');
    expect(await unreadable({ HOME: '/h' })).toBe('/h/.config/muster/profile.yaml');
    expect(await unreadable({ HOME: '/h', XDG_CONFIG_HOME: '/x' })).toBe('/x/muster/profile.yaml');
  });
});

describe('help and version', () => {
  it.each([['--help'], ['--version'], ['help']])('%s exits 0', async (arg) => {
    const { code, out } = await muster([arg]);
    expect(code).toBe(0);
    expect(out).not.toBe('');
  });
});
