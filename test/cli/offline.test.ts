import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { reasonCatalogue } from '@muster/shared/reasons.js';
import { signPermit } from '@muster/shared/tokens/permit.js';
import { exportJWK } from 'jose';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { muster } from '../support/cli.js';

describe('permit verify', () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-permit-'));
  const keysFile = join(folder, 'keys.json');
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sign = (issuer = 'spiffe://test.example/server/server'): Promise<string> =>
    signPermit(
      {
        jobId: 'job-1',
        generation: 2,
        participants: [{ name: 'site-1', results: {} }],
        issuedAt: new Date('2026-01-01T00:00:00Z'),
        expiresAt: new Date('2026-01-01T01:00:00Z'),
      },
      { issuer, trustDomain: 'test.example', keyId: 'k', key: privateKey },
    );
  const verify = (input: string, ...more: string[]): ReturnType<typeof muster> =>
    muster(['permit', 'verify', '--keys', keysFile, '-o', 'json', ...more], { input });

  beforeAll(async () => {
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' };
    writeFileSync(keysFile, JSON.stringify({ keys: [jwk] }));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('accepts a permit of the federation, from a file or from standard input', async () => {
    const file = join(folder, 'permit.jwt');
    writeFileSync(file, await sign());
    const { code, json } = await verify('', file);
    expect(code).toBe(0);
    expect(json()).toMatchObject({ valid: true, permit: { jobId: 'job-1', generation: 2 } });
    expect((await verify(`${await sign()}\n`, '--trust-domain', 'test.example')).code).toBe(0);
  });

  it('refuses one that has expired, at the time that is asked about', async () => {
    const permit = await sign();
    expect((await verify(permit, '--at', '2026-01-01T00:59:59Z')).code).toBe(0);
    const { code, json } = await verify(permit, '--at', '2026-01-01T01:00:01Z');
    expect(code).toBe(1);
    expect(json()).toMatchObject({ error: { code: 'PERMIT_INVALID' } });
  });

  it.each([
    ['another trust domain', async () => sign(), ['--trust-domain', 'other.example']],
    ['an issuer that is no server', () => sign('spiffe://test.example/site/site-1'), []],
    [
      'a changed permit',
      async () =>
        (await sign()).replace(/\.(.)([^.]*)$/, (_, first, rest) => `.${first === 'A' ? 'B' : 'A'}${rest}`),
      [],
    ],
    ['something else', async () => 'no permit', []],
  ])('refuses %s', async (_, permit, more) => {
    expect((await verify(await permit(), ...more)).code).toBe(1);
  });

  it('cannot use a file without keys', async () => {
    const file = join(folder, 'no-keys.json');
    writeFileSync(file, '{}');
    expect((await muster(['permit', 'verify', '--keys', file], { input: await sign() })).code).toBe(2);
  });
});

describe('reasons', () => {
  it('lists the whole catalogue', async () => {
    const { reasons } = (await muster(['reasons', '-o', 'json'])).json() as { reasons: { code: string }[] };
    expect(reasons.map(({ code }) => code)).toEqual(Object.keys(reasonCatalogue));
  });

  it('explains one', async () => {
    const { out } = await muster(['reasons', 'JOB_BYOC']);
    expect(out).toContain(reasonCatalogue.JOB_BYOC.remedy);
  });
});

describe('completion', () => {
  /** The completion library writes to the console. */
  const printed = async (...args: string[]): Promise<string> => {
    const lines: string[] = [];
    const spy = jest
      .spyOn(console, 'log')
      .mockImplementation((line: unknown) => void lines.push(String(line)));
    await muster(args);
    spy.mockRestore();
    return lines.join('\n');
  };

  it.each([['bash'], ['zsh'], ['fish']])('has a script for %s', async (shell) => {
    expect(await printed('completion', shell)).toContain('muster');
  });

  it('completes commands and options', async () => {
    expect(await printed('complete', '--', 'participant', 'qu')).toContain('quarantine');
    expect(await printed('complete', '--', 'job', 'list', '--st')).toContain('--state');
  });
});
