import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, watch, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { attestersConfigSchema, createAttesters } from '@muster/attester/attesters.js';
import type { Attester } from '@muster/attester/attester.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';
import { createVendor, type SimulatedVendor } from '../devices/snp/vendor.js';
import { snpReport } from '../support/snp-report.js';
import { eventually } from '../support/eventually.js';
import { serveReports, type Attributes, type ServedDirectory } from '../support/report-directory.js';
import { startSimulatedDevice, type SimulatedDevice } from '../support/simulated-device.js';

const reportData = Uint8Array.from({ length: 64 }, (_, index) => index);

let root: string;
let vendor: SimulatedVendor;
let directory: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'muster-tsm-'));
  vendor = createVendor(join(root, 'vendor'));
});
afterAll(() => rmSync(root, { recursive: true }));
beforeEach(() => {
  directory = mkdtempSync(join(root, 'case-'));
});

function attester(reportDirectory: string, options: Record<string, unknown> = {}): Attester {
  const config = { namespace: 'x-snp', report_directory: reportDirectory, timeout: '5s', ...options };
  const [made] = createAttesters(attestersConfigSchema.parse([config]));
  if (made === undefined) throw new Error('no attester');
  return made;
}

describe('with the simulated device', () => {
  let device: SimulatedDevice;
  beforeEach(async () => {
    device = await startSimulatedDevice({ directory, vendor });
  });
  afterEach(() => device.stop());

  it('evidence is collected that the verifier accepts as simulated', async () => {
    device.change({ measurement: 'ab'.repeat(48) });
    const evidence = await attester(device.reportDirectory).collect(reportData);
    const appraisal = await snpVerifier.appraise({
      evidence,
      endorsements: { certificates: [], crls: [] },
      reportData,
      policy: snpVerifier.policySchema.parse({ measurements: ['ab'.repeat(48)], revocation: 'optional' }),
      at: new Date('2026-06-01T00:00:00Z'),
      simulatedRoots: [{ namespace: 'x-snp', fingerprint: vendor.rootFingerprint }],
    });
    expect(appraisal).toMatchObject({ status: 'affirming', reasons: [], simulated: true });
  });

  it('a change of its state shows in the next report', async () => {
    const snp = attester(device.reportDirectory);
    const measurementOf = (report: Uint8Array): string =>
      Buffer.from(report.subarray(0x90, 0xc0)).toString('hex');
    expect(measurementOf((await snp.collect(reportData)).evidence)).toBe('5a'.repeat(48));
    device.change({ measurement: 'cd'.repeat(48) });
    expect(measurementOf((await snp.collect(reportData)).evidence)).toBe('cd'.repeat(48));
  });

  it('a VMPL is asked for where one is configured', async () => {
    const { evidence } = await attester(device.reportDirectory, { privlevel: 2 }).collect(reportData);
    expect(evidence).toHaveLength(1184);
  });

  it('many collections at a time each get their own answer', async () => {
    const snp = [attester(device.reportDirectory), attester(device.reportDirectory)] as const;
    const requests = Array.from({ length: 10 }, (_, index) => new Uint8Array(64).fill(index));
    const collected = await Promise.all(
      requests.map((data, index) => snp[index % 2 === 0 ? 0 : 1].collect(data)),
    );
    expect(collected.map((one) => one.evidence[0x50])).toEqual(requests.map((data) => data[0]));
  });

  it.each([
    ['garbage', /answers another request/],
    ['fail', /cannot read .*outblob/],
  ] as const)('in mode %s no evidence is collected', async (mode, message) => {
    device.change({ mode });
    await expect(attester(device.reportDirectory).collect(reportData)).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringMatching(message),
      reasons: [{ namespace: 'x-snp' }],
    });
  });

  it('in mode hang the time is bounded, and the device can recover', async () => {
    device.change({ mode: 'hang' });
    const snp = attester(device.reportDirectory, { timeout: '150ms' });
    await expect(snp.collect(reportData)).rejects.toMatchObject({
      code: 'ATTESTATION_DEVICE_TIMEOUT',
      reasons: [{ namespace: 'x-snp' }],
    });
    device.change({ mode: 'ok' });
    expect((await snp.collect(reportData)).evidence).toHaveLength(1184);
  });

  it('a collection that is given up ends with the reason given', async () => {
    device.change({ mode: 'hang' });
    const reason = new Error('shutting down');
    const given = new AbortController();
    const collecting = attester(device.reportDirectory).collect(reportData, { signal: given.signal });
    given.abort(reason);
    await expect(collecting).rejects.toBe(reason);
  });

  it('it runs as a process of its own as well', async () => {
    const other = await startSimulatedDevice({
      directory: join(directory, 'process'),
      vendor,
      process: true,
    });
    expect((await attester(other.reportDirectory).collect(reportData)).evidence).toHaveLength(1184);
    await other.stop();
    expect(readdirSync(other.reportDirectory)).toEqual([]);
  });
});

describe('with a directory served by hand', () => {
  const serve = (attributes: (made: number) => Attributes): ServedDirectory =>
    serveReports(directory, attributes);
  const healthy = {
    provider: 'sev_guest\n',
    inblob: '',
    outblob: snpReport({ reportData }),
    auxblob: '',
    generation: '1\n',
  };
  const collectFrom = async (attributes: Attributes): Promise<unknown> => {
    const served = serve(() => attributes);
    try {
      return await attester(directory, { timeout: '3s' })
        .collect(reportData)
        .catch((error: unknown) => error);
    } finally {
      served.close();
    }
  };

  it('evidence without a certificate table has none', async () => {
    expect(await collectFrom(healthy)).toEqual({ namespace: 'x-snp', evidence: healthy.outblob });
  });

  it.each<[string, Attributes, RegExp]>([
    ['another provider', { provider: 'tdx_guest\n' }, /served by "tdx_guest"/],
    ['a report that is cut short', { outblob: healthy.outblob.subarray(1) }, /1183 bytes/],
    ['a report that is too long', { outblob: new Uint8Array(40_000) }, /larger than 1184/],
    ['a report for another request', { outblob: snpReport() }, /another request/],
    ['a certificate table without end', { auxblob: new Uint8Array(70_000) }, /larger than 65536/],
    ['an attribute full of text', { provider: 'x'.repeat(5000) }, /larger than 4096/],
  ])('%s is refused', async (_name, change, message) => {
    expect(await collectFrom({ ...healthy, ...change })).toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringMatching(message),
    });
  });

  it('a directory that another process writes to as well is discarded, five times', async () => {
    const served = serve(() => ({ ...healthy, generation: '2\n' }));
    await expect(attester(directory).collect(reportData)).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringMatching(/another process wrote/),
    });
    served.close();
    expect(served.made()).toBe(5);
  });

  it('a directory that was raced once is repeated', async () => {
    const served = serve((made) => ({ ...healthy, generation: made === 1 ? '2\n' : '1\n' }));
    expect((await attester(directory).collect(reportData)).evidence).toHaveLength(1184);
    served.close();
    expect(served.made()).toBe(2);
  });

  it('a read that hangs holds up one attempt only, and the next ones fail at once until it returns', async () => {
    const watcher = watch(directory, () => {
      for (const name of readdirSync(directory)) {
        if (readdirSync(join(directory, name)).length > 0) continue;
        execFileSync('mkfifo', [join(directory, name, 'provider')]);
      }
    });
    const snp = attester(directory, { timeout: '300ms' });
    await expect(snp.collect(reportData)).rejects.toMatchObject({ code: 'ATTESTATION_DEVICE_TIMEOUT' });
    await expect(snp.collect(reportData)).rejects.toMatchObject({
      code: 'ATTESTATION_DEVICE_TIMEOUT',
      message: expect.stringMatching(/still hangs/),
    });
    const [hung = '', ...more] = readdirSync(directory);
    expect(more).toEqual([]);
    watcher.close();

    const writer = await open(join(directory, hung, 'provider'), 'w');
    await writer.close();
    const served = serve(() => healthy);
    let evidence: unknown;
    await eventually(async () => {
      evidence = await snp.collect(reportData).catch(() => undefined);
      return evidence !== undefined;
    }, 'evidence');
    served.close();
    expect(evidence).toEqual({ namespace: 'x-snp', evidence: healthy.outblob });
  });
});

describe('without a device', () => {
  it('the reason names both places that were looked at', async () => {
    const options = { device: join(directory, 'no-device') };
    await expect(
      attester(join(directory, 'no-directory'), options).collect(reportData),
    ).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringMatching(
        /^failed to generate CC token: neither .*no-directory nor .*no-device exists/,
      ),
    });
  });

  it('a directory that was asked for by name and is missing is refused', async () => {
    const snp = attester(join(directory, 'no-directory'), { interface: 'configfs-tsm' });
    await expect(snp.collect(reportData)).rejects.toMatchObject({
      message: expect.stringMatching(/no configfs-tsm, or it is not mounted \(ENOENT\)/),
    });
  });

  it('a file in place of the directory is refused', async () => {
    const file = join(directory, 'file');
    mkdirSync(directory, { recursive: true });
    writeFileSync(file, '');
    await expect(attester(file).collect(reportData)).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
    });
  });
});
