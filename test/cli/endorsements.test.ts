import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FakeClock } from '../support/fake-clock.js';
import { muster, type CliResult } from '../support/cli.js';
import { intelCrl, intelHierarchy, pemOf } from '../support/tdx-builder.js';
import { at, qeIdentityJson, signDocument, tcbInfoJson, tdxCase } from '../support/tdx-case.js';

const hierarchy = intelHierarchy();
const { root, pckCa, tcbSigning, rootFingerprint } = hierarchy;
const signers = pemOf(tcbSigning.certificate, root.certificate);
const answers: Readonly<
  Record<string, { readonly body: Uint8Array; readonly chain?: readonly [string, string] }>
> = {
  '/tdx/certification/v4/tcb?fmspc=b0c06f000000': {
    body: signDocument('tcbInfo', tcbInfoJson(), tcbSigning.privateKey),
    chain: ['tcb-info-issuer-chain', signers],
  },
  '/tdx/certification/v4/qe/identity': {
    body: signDocument('enclaveIdentity', qeIdentityJson(), tcbSigning.privateKey),
    chain: ['sgx-enclave-identity-issuer-chain', signers],
  },
  '/sgx/certification/v4/pckcrl?ca=platform&encoding=der': {
    body: intelCrl(pckCa),
    chain: ['sgx-pck-crl-issuer-chain', pemOf(pckCa.certificate, root.certificate)],
  },
  '/sgx/certification/v4/rootcacrl': { body: intelCrl(root) },
};

describe('endorsements for a machine without a network', () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-export-'));
  const evidence = join(folder, 'quote.bin');
  const trust = ['--simulated-root', rootFingerprint];
  let service: Server;
  let url: string;
  let isDown = false;
  let bundle: string;
  let directory: string;
  let number = 0;

  beforeAll(async () => {
    writeFileSync(evidence, tdxCase({ hierarchy }).evidence.evidence);
    service = createServer(({ url: path = '' }, response) => {
      const answer = answers[path];
      response.setHeader('connection', 'close');
      if (isDown || answer === undefined) return void response.writeHead(isDown ? 500 : 404).end();
      if (answer.chain !== undefined)
        response.setHeader(answer.chain[0], encodeURIComponent(answer.chain[1]));
      response.end(answer.body);
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(service.address() as AddressInfo).port}/`;
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await new Promise((resolve) => service.close(resolve));
  });
  beforeEach(() => {
    isDown = false;
    number += 1;
    bundle = join(folder, `bundle-${number}.json`);
    directory = join(folder, `endorsements-${number}`);
  });

  const run = (args: readonly string[], time = at): Promise<CliResult> =>
    muster(args, { clock: new FakeClock(time), env: { MUSTER_INTEL_COLLATERAL_SERVICE: url } });
  const exported = (...more: string[]): Promise<CliResult> =>
    run([
      'endorsements',
      'export',
      '--out',
      bundle,
      '--for',
      evidence,
      '--namespace',
      'x-tdx',
      ...trust,
      ...more,
    ]);
  const imported = (more: readonly string[] = trust, time = at): Promise<CliResult> =>
    run(['endorsements', 'import', bundle, '--into', directory, '-o', 'json', ...more], time);
  const verified = (): Promise<CliResult> =>
    run([
      'evidence',
      'verify',
      '--namespace',
      'x-tdx',
      '--evidence',
      evidence,
      '--offline',
      '--endorsements',
      directory,
      ...trust,
    ]);

  it('are fetched for evidence, carried over, and make it provable there', async () => {
    const { code, out } = await exported();
    expect(code).toBe(0);
    expect(out.split('\n')[1]).toMatch(/^intel +tdx-\S+ +2026-02-01T00:00:00Z +31d +valid +tdx/);
    expect((await verified()).code).toBe(1);
    const result = await imported();
    expect([result.code, result.json()['endorsements']]).toEqual([
      0,
      expect.arrayContaining([expect.objectContaining({ kind: 'tdx-tcb-info', placement: 'written' })]),
    ]);
    expect((await verified()).code).toBe(0);
    expect((await imported()).code).toBe(0);
  });

  it("are taken from a directory, such as a server's", async () => {
    await exported();
    await imported();
    const second = join(folder, `second-${number}.json`);
    expect((await run(['endorsements', 'export', '--out', second, '--from', directory, ...trust])).code).toBe(
      0,
    );
    const entriesOf = (file: string): string[] =>
      (JSON.parse(readFileSync(file, 'utf8')) as { entries: { path: string }[] }).entries
        .map(({ path }) => path)
        .toSorted((a, b) => (a < b ? -1 : 1));
    expect(entriesOf(second)).toEqual(entriesOf(bundle));
  });

  it('are listed with what has expired, as a warning', async () => {
    await exported();
    await imported();
    expect((await run(['endorsements', 'list', directory, ...trust])).code).toBe(0);
    const later = await run(['endorsements', 'list', directory, ...trust], new Date('2026-03-01T00:00:00Z'));
    expect(later.code).toBe(3);
    expect(later.out).toMatch(/tdx-tcb-info +2026-02-01T00:00:00Z +28d ago +TDX_COLLATERAL_EXPIRED/);
    expect((await run(['endorsements', 'list', join(folder, 'none')])).code).toBe(2);
  });

  it('are not imported under a root that is not trusted, and nothing is written', async () => {
    await exported();
    const result = await imported([]);
    expect(result.code).toBe(1);
    expect(result.json()).toMatchObject({ error: { code: 'ENDORSEMENT_UNTRUSTED' } });
    expect(existsSync(directory)).toBe(false);
    expect((await imported(['--partial'])).code).toBe(3);
    expect(existsSync(directory)).toBe(false);
  });

  it('are imported in part when a part has expired and that was asked for', async () => {
    await exported();
    const later = new Date('2026-03-01T00:00:00Z');
    expect((await imported(trust, later)).json()).toMatchObject({
      error: { code: 'TDX_COLLATERAL_EXPIRED' },
    });
    expect(existsSync(directory)).toBe(false);
    const result = await imported([...trust, '--partial'], later);
    expect(result.code).toBe(3);
    expect(existsSync(join(directory, 'intel/sgx/certification/v4/rootcacrl'))).toBe(true);
    expect(existsSync(join(directory, 'intel/tdx'))).toBe(false);
  });

  it('are not exported when one could not be had', async () => {
    isDown = true;
    const { code, err } = await exported();
    expect([code, existsSync(bundle)]).toEqual([1, false]);
    expect(err).toContain('ATTESTATION_DEFERRED');
  });

  it('are not exported when none is valid', async () => {
    const args = ['endorsements', 'export', '--out', bundle, '--for', evidence, '--namespace', 'x-tdx'];
    const { code, err } = await run(args);
    expect([code, existsSync(bundle)]).toEqual([1, false]);
    expect(err).toContain('ENDORSEMENT_UNTRUSTED');
  });

  it('never replace a file that is there', async () => {
    writeFileSync(bundle, 'mine');
    const { code, err } = await exported();
    expect([code, readFileSync(bundle, 'utf8')]).toEqual([2, 'mine']);
    expect(err).toContain('FILE_EXISTS');
  });

  it.each([
    ['a source', ['--out', 'x'], '--from'],
    ['the kind of evidence', ['--out', 'x', '--for', 'y'], '--namespace'],
    [
      'a file of evidence that is there',
      ['--out', 'x', '--for', 'y', '--namespace', 'x-tdx'],
      'cannot be read',
    ],
    ['a namespace that is known', ['--out', 'x', '--for', evidence, '--namespace', 'x-none'], '--namespace'],
  ])('need %s', async (_, args, message) => {
    const { code, err } = await run(['endorsements', 'export', ...args]);
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  });

  it('are not checked against a root that is named by its file', async () => {
    const { code, err } = await run(['endorsements', 'list', folder, '--simulated-root', 'ark.pem']);
    expect([code, err]).toEqual([2, expect.stringContaining('SHA-256')]);
  });

  it('are not imported from something else', async () => {
    expect((await imported()).code).toBe(2);
    writeFileSync(bundle, 'something else');
    expect((await imported()).json()).toMatchObject({ error: { code: 'ENDORSEMENT_BUNDLE_INVALID' } });
    truncateSync(bundle, 65 * 1024 * 1024);
    expect((await imported()).json()).toMatchObject({ error: { code: 'ENDORSEMENT_BUNDLE_INVALID' } });
  });
});
