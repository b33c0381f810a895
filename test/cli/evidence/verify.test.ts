import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { muster, type CliResult } from '../../support/cli.js';
import { FakeClock } from '../../support/fake-clock.js';
import { chipCertificate, defaultHwid, revocationList, snpHierarchy } from '../../support/snp-builder.js';
import { signSnpReport, snpReport } from '../../support/snp-report.js';

const folder = mkdtempSync(join(tmpdir(), 'muster-evidence-'));
const milan = snpHierarchy();
const chip = chipCertificate(milan);
const chainPem = pem(milan.ask.certificate) + pem(milan.ark.certificate);
const reportData = Uint8Array.from({ length: 64 }, (_, index) => (index < 4 ? 0xc0 + index : 0));
const clock = new FakeClock();

function pem(der: Uint8Array, label = 'CERTIFICATE'): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
}

const evidence = file('report.bin', signSnpReport(snpReport({ reportData }), chip.privateKey));
const privileged = file('vmpl1.bin', signSnpReport(snpReport({ reportData, vmpl: 1 }), chip.privateKey));
const chipFile = file('vcek.der', chip.certificate);
const chainFile = file('chain.pem', chainPem);
const crlFile = file('list.crl', revocationList(milan));
const vcekPath = `vcek/v1/Milan/${Buffer.from(defaultHwid()).toString('hex')}?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219`;

const trusted = ['--simulated-root', milan.rootFingerprint];
const certs = ['--cert', chipFile, '--cert', chainFile];

function verify(...args: string[]): Promise<CliResult> {
  return verifyFile(evidence, ...args);
}

function verifyFile(path: string, ...args: string[]): Promise<CliResult> {
  const base = ['evidence', 'verify', '--namespace', 'x-snp', '--evidence', path];
  return muster([...base, ...args], { clock });
}

afterAll(() => rmSync(folder, { recursive: true }));

describe('muster evidence verify', () => {
  it('affirms genuine evidence, and says what it could not check', async () => {
    const { code, out, err } = await verify(...certs, ...trusted, '--offline', '-o', 'json');
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toEqual({
      namespace: 'x-snp',
      status: 'affirming',
      reasons: [],
      claims: expect.objectContaining({ product: 'Milan', measurement: '5a'.repeat(48) }),
      unchecked: ['crl', 'report_data'],
      simulated: true,
    });
  });

  it('shows the verdict to people', async () => {
    const { code, out } = await verify(...certs, ...trusted, '--offline');
    expect(code).toBe(0);
    expect(out).toMatch(/^affirming {2}x-snp {2}SIMULATED\n/);
    expect(out).toContain('not checked: crl, report_data');
    expect(out).toMatch(/guest policy +abi 0\.31, smt\n/);
    const refused = await verify(...certs, '--offline');
    expect(refused.out).toMatch(/^contraindicated {2}x-snp\n\n {2}SNP_ROOT_UNTRUSTED\n/);
  });

  it('takes certificates in PEM and DER, several in a file, in any order', async () => {
    const all = file(
      'all.pem',
      `${pem(milan.ark.certificate)}${pem(chip.certificate)}${pem(milan.ask.certificate)}`,
    );
    expect((await verify('--cert', all, ...trusted, '--offline')).code).toBe(0);
    expect((await verify('--cert', chainFile, '--cert', chipFile, ...trusted, '--offline')).code).toBe(0);
  });

  it('checks a revocation list, DER or PEM', async () => {
    const lists = [crlFile, file('list.pem', pem(revocationList(milan), 'X509 CRL'))];
    for (const list of lists) {
      const { out } = await verify(...certs, ...trusted, '--collateral', list, '--offline', '-o', 'json');
      expect(JSON.parse(out)).toMatchObject({ status: 'affirming', unchecked: ['report_data'] });
    }
    const revoked = file('revoked.crl', revocationList(milan, { revoked: [0x10001] }));
    const { code, out } = await verify(
      ...certs,
      ...trusted,
      '--collateral',
      revoked,
      '--offline',
      '-o',
      'json',
    );
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ reasons: [{ code: 'SNP_CERTIFICATE_REVOKED' }] });
  });

  it('compares the nonce, padded with zeros', async () => {
    const right = await verify(...certs, ...trusted, '--nonce', 'C0c1c2C3', '--offline', '-o', 'json');
    expect(right.json()).toMatchObject({ status: 'affirming', unchecked: ['crl'] });
    const wrong = await verify(...certs, ...trusted, '--nonce', 'c0c1c2', '--offline', '-o', 'json');
    expect(wrong.code).toBe(1);
    expect(wrong.json()).toMatchObject({ reasons: [{ code: 'SNP_REPORT_DATA' }] });
  });

  it('verifies at a time', async () => {
    const at = (time: string): Promise<CliResult> =>
      verify(...certs, ...trusted, '--at', time, '--offline', '-o', 'json');
    expect((await at('2044-12-31T23:59:59+00:00')).code).toBe(0);
    expect((await at('2045-01-01T00:00:01Z')).json()).toMatchObject({
      reasons: [{ code: 'SNP_CERTIFICATE_EXPIRED' }],
    });
  });

  it('applies a policy: a part or a whole file', async () => {
    const measurement = 'measurements: ["' + '77'.repeat(48) + '"]';
    const part = file('part.yaml', measurement);
    const whole = file('whole.yaml', `servers: []\nnamespaces:\n  x-snp:\n    ${measurement}\n`);
    for (const policy of [part, whole]) {
      const { code, out } = await verify(...certs, ...trusted, '--policy', policy, '--offline', '-o', 'json');
      expect(code).toBe(1);
      expect(JSON.parse(out)).toMatchObject({
        reasons: [{ code: 'SNP_MEASUREMENT_UNKNOWN' }],
        unchecked: ['crl', 'report_data'],
      });
    }
    const silent = file('silent.yaml', 'namespaces: {}\n');
    expect((await verify(...certs, ...trusted, '--policy', silent, '--offline')).code).toBe(0);
    const lax = file('lax.yaml', 'vmpl: [0, 1]\n');
    expect((await verifyFile(privileged, ...certs, ...trusted, '--offline')).code).toBe(1);
    expect((await verifyFile(privileged, ...certs, ...trusted, '--policy', lax, '--offline')).code).toBe(0);
  });

  it('insists on a revocation list where the policy does', async () => {
    const policy = file('strict.yaml', 'revocation: required\n');
    const { code, out } = await verify(...certs, ...trusted, '--policy', policy, '--offline', '-o', 'json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ status: 'none', reasons: [{ code: 'SNP_CRL_MISSING' }] });
  });

  it('exits with 3 on a warning', async () => {
    const policy = file('warn.yaml', 'vmpl: [1]\nwarn_on: [vmpl]\n');
    const { code, out } = await verify(...certs, ...trusted, '--policy', policy, '--offline', '-o', 'json');
    expect(code).toBe(3);
    expect(JSON.parse(out)).toMatchObject({ status: 'warning', reasons: [{ code: 'SNP_VMPL' }] });
  });

  it('says that nothing can be said where something is missing', async () => {
    const { code, out } = await verify('--offline', '-o', 'json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      status: 'none',
      reasons: [{ code: 'SNP_CHIP_CERTIFICATE_MISSING' }],
      claims: { version: 3 },
    });
  });

  it('refuses evidence that is not a report', async () => {
    const { code, out } = await verifyFile(file('short.bin', 'short'), '--offline', '-o', 'json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      status: 'contraindicated',
      reasons: [{ code: 'SNP_REPORT_LENGTH' }],
    });
  });
});

describe('unusable input', () => {
  const garbage = file('garbage', 'no certificate');
  const unusable: readonly (readonly [string, readonly string[], string])[] = [
    ['a nonce that is not hex', ['--nonce', 'xyz'], '--nonce'],
    ['half a byte of a nonce', ['--nonce', 'abc'], '--nonce'],
    ['an empty nonce', ['--nonce', ''], '--nonce'],
    ['a nonce of 65 bytes', ['--nonce', '00'.repeat(65)], '--nonce'],
    ['a date in words', ['--at', 'yesterday'], '--at'],
    ['a date without a time', ['--at', '2026-01-01'], '--at'],
    ['a date that does not exist', ['--at', '2025-02-30T00:00:00Z'], '--at'],
    ['a certificate that is none', ['--cert', garbage], garbage],
    [
      'a certificate in broken PEM',
      ['--cert', file('broken.pem', '-----BEGIN CERTIFICATE-----\nx')],
      'broken.pem',
    ],
    ['a certificate cut short', ['--cert', file('cut.der', chip.certificate.subarray(0, 99))], 'cut.der'],
    ['a revocation list that is none', ['--collateral', garbage], garbage],
    ['a certificate file that is not there', ['--cert', join(folder, 'absent')], 'absent'],
    ['a policy that is not there', ['--policy', join(folder, 'absent')], 'absent'],
    ['a policy with an unknown key', ['--policy', file('typo.yaml', 'measurment: []')], 'measurment'],
    [
      'a whole policy with a wrong value',
      ['--policy', file('wrong.yaml', 'namespaces: {x-snp: {vmpl: [9]}}')],
      'namespaces.x-snp.vmpl[0]',
    ],
    ['a policy that is no mapping', ['--policy', file('list.yaml', '[1]')], 'list.yaml'],
    ['a manifest for a namespace without them', ['--rim', garbage], '--rim'],
    ['a fingerprint that is none', ['--simulated-root', 'abc'], '--simulated-root'],
    ['an unknown option', ['--bogus'], '--bogus'],
  ];

  it.each(unusable)('%s: exit 2', async (_, args, about) => {
    const text = await verify('--offline', ...args);
    expect([text.code, text.out]).toEqual([2, '']);
    expect(text.err).toContain(about);
    const { code, out } = await verify('--offline', '-o', 'json', ...args);
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({
      error: { code: expect.any(String), message: expect.any(String) },
    });
    expect(JSON.stringify(JSON.parse(out))).toContain(about);
  });

  it('an unknown namespace: exit 2', async () => {
    const { code, err } = await muster([
      'evidence',
      'verify',
      '--namespace',
      'x-what',
      '--evidence',
      evidence,
    ]);
    expect(code).toBe(2);
    expect(err).toContain('x-what');
    expect(err).toContain('x-snp');
  });

  it('evidence that is not there, or not named: exit 2', async () => {
    expect((await verifyFile(join(folder, 'absent'), '--offline')).code).toBe(2);
    expect((await verifyFile(folder, '--offline')).code).toBe(2);
    expect((await muster(['evidence', 'verify', '--namespace', 'x-snp'])).code).toBe(2);
  });
});

describe('missing endorsements', () => {
  const answers = new Map<string, Uint8Array | string>([
    [`/${vcekPath}`, chip.certificate],
    ['/vcek/v1/Milan/cert_chain', chainPem],
    ['/vcek/v1/Milan/crl', revocationList(milan)],
  ]);
  const asked: string[] = [];
  let service: Server;
  let env: Record<string, string>;

  beforeAll(async () => {
    service = createServer(({ url = '' }, response) => {
      asked.push(url);
      const answer = answers.get(url);
      response.writeHead(answer === undefined ? 404 : 200).end(answer);
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    env = { MUSTER_AMD_KEY_SERVICE: `http://127.0.0.1:${(service.address() as AddressInfo).port}/` };
  });
  afterAll(() => new Promise((resolve) => service.close(resolve)));

  const online = (...args: string[]): Promise<CliResult> => {
    const base = [
      'evidence',
      'verify',
      '--namespace',
      'x-snp',
      '--evidence',
      evidence,
      '-o',
      'json',
      ...trusted,
    ];
    return muster([...base, ...args], { clock, env });
  };

  it('come from the vendor', async () => {
    const { code, out } = await online();
    expect(JSON.parse(out)).toMatchObject({ status: 'affirming', unchecked: ['report_data'] });
    expect(code).toBe(0);
    expect(asked.length).toBe(3);
  });

  it('are not asked for offline', async () => {
    asked.length = 0;
    expect((await online('--offline')).json()).toMatchObject({ status: 'none' });
    expect(asked).toEqual([]);
  });

  it('do not include revocation lists of today for another day', async () => {
    const { out } = await online('--at', '2026-03-01T00:00:00Z');
    expect(JSON.parse(out)).toMatchObject({ status: 'affirming', unchecked: ['crl', 'report_data'] });
  });

  it('never replace what was given', async () => {
    const foreign = file('foreign.der', chipCertificate(snpHierarchy({ keySet: 'foreign' })).certificate);
    const { out } = await online('--cert', foreign);
    expect(JSON.parse(out)).toMatchObject({ reasons: [{ code: 'SNP_CHAIN_SIGNATURE' }] });
  });

  it('come from a directory without a network', async () => {
    file(`mirror/amd/${vcekPath}`, chip.certificate);
    file('mirror/amd/vcek/v1/Milan/cert_chain', chainPem);
    file('mirror/amd/vcek/v1/Milan/crl', revocationList(milan));
    const { out } = await verify(
      '--endorsements',
      join(folder, 'mirror'),
      '--offline',
      '-o',
      'json',
      ...trusted,
    );
    expect(JSON.parse(out)).toMatchObject({ status: 'affirming', unchecked: ['report_data'] });
  });

  it('leave the result open while the vendor cannot be reached', async () => {
    const nowhere = { MUSTER_AMD_KEY_SERVICE: 'http://127.0.0.1:1/' };
    const base = ['evidence', 'verify', '--namespace', 'x-snp', '--evidence', evidence, '-o', 'json'];
    const { code, out } = await muster([...base, ...trusted], { clock, env: nowhere });
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      status: 'none',
      reasons: [
        { code: 'SNP_CHIP_CERTIFICATE_MISSING' },
        { code: 'ATTESTATION_DEFERRED' },
        { code: 'ATTESTATION_DEFERRED' },
        { code: 'ATTESTATION_DEFERRED' },
      ],
    });
  });
});
