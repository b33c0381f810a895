import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { attestersConfigSchema, createAttesters } from '@muster/attester/attesters.js';
import { offlineDirectory } from '@muster/shared/endorsements/offline-directory.js';
import type { Appraisal, Endorsements } from '@muster/shared/evidence/appraisal.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';
import { startSimulatedDevice } from '../support/simulated-device.js';
import type { DeviceStateInput } from './snp/state.js';
import { createVendor, loadVendor, type SimulatedVendor } from './snp/vendor.js';

const reportData = new Uint8Array(64).fill(9);

let root: string;
let vendor: SimulatedVendor;
let cases = 0;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'muster-device-'));
  vendor = createVendor(join(root, 'vendor'));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Collects from a device in a state and appraises the evidence with the vendor's own revocation list. */
async function appraise(
  state: Partial<DeviceStateInput>,
  policy: Record<string, unknown> = {},
  of: SimulatedVendor = vendor,
): Promise<Appraisal> {
  cases += 1;
  const device = await startSimulatedDevice({ directory: join(root, `device-${cases}`), vendor: of, state });
  try {
    const config = { namespace: 'x-snp', report_directory: device.reportDirectory };
    const [attester] = createAttesters(attestersConfigSchema.parse([config]));
    if (attester === undefined) throw new Error('no attester');
    const evidence = await attester.collect(reportData);
    return snpVerifier.appraise({
      evidence,
      endorsements: await revocations(of),
      reportData,
      policy: snpVerifier.policySchema.parse({ measurements: ['5a'.repeat(48)], ...policy }),
      at: new Date('2026-06-01T00:00:00Z'),
      simulatedRoots: [{ namespace: 'x-snp', fingerprint: vendor.rootFingerprint }],
    });
  } finally {
    await device.stop();
  }
}

async function revocations({ endorsements, product }: SimulatedVendor): Promise<Endorsements> {
  const query = { vendor: 'amd', kind: 'crl', path: `vcek/v1/${product}/crl` } as const;
  const found = await offlineDirectory(endorsements).fetch(query);
  return { certificates: [], crls: found?.items ?? [] };
}

describe('a vendor', () => {
  it('is the same after it was written and read', () => {
    const loaded = loadVendor(vendor.directory);
    expect(loaded.rootFingerprint).toBe(vendor.rootFingerprint);
    expect(loaded.ask.name).toBe(vendor.ask.name);
    expect(readFileSync(loaded.rootFile, 'utf8')).toContain('BEGIN CERTIFICATE');
    expect(statSync(join(vendor.directory, 'ark.key.pem')).mode & 0o077).toBe(0);
  });

  it('is made once by the command', () => {
    const main = fileURLToPath(new URL('../dist/devices/snp/main.js', import.meta.url));
    const directory = join(root, 'by-command');
    const generate = (): string =>
      execFileSync(process.execPath, [main, 'generate', '--vendor', directory], { encoding: 'utf8' }).trim();
    const fingerprint = generate();
    expect(fingerprint).toBe(loadVendor(directory).rootFingerprint);
    expect(generate()).toBe(fingerprint);
  });
});

describe('the evidence of a simulated device', () => {
  it('is affirmed where its root is accepted, with revocation checked', async () => {
    expect(await appraise({})).toMatchObject({
      status: 'affirming',
      reasons: [],
      unchecked: [],
      simulated: true,
    });
  });

  it('of a vendor read from its directory is affirmed as well', async () => {
    expect(await appraise({}, {}, loadVendor(vendor.directory))).toMatchObject({ status: 'affirming' });
  });

  it('is refused where its root is not accepted', async () => {
    const other = createVendor(join(root, 'other'));
    expect(await appraise({}, {}, other)).toMatchObject({ status: 'contraindicated' });
  });

  it.each<[string, Partial<DeviceStateInput>, Record<string, unknown>, string]>([
    ['another measurement', { measurement: 'ab'.repeat(48) }, {}, 'SNP_MEASUREMENT_UNKNOWN'],
    ['a debug policy', { policy: '0xb001f' }, {}, 'SNP_DEBUG'],
    [
      'an old TCB',
      { tcb: { bootloader: 3, tee: 0, snp: 10, microcode: 100 } },
      { minimum_tcb: { Milan: { snp: 20 } } },
      'SNP_TCB_BELOW_MINIMUM',
    ],
    ['a signature of another key', { mode: 'forged' }, {}, 'SNP_REPORT_SIGNATURE'],
  ])('with %s is refused for that reason', async (_name, state, policy, code) => {
    const { status, reasons } = await appraise(state, policy);
    expect(status).toBe('contraindicated');
    expect(reasons.map((one) => one.code)).toEqual([code]);
  });

  it.each([2, 3, 5] as const)('in version %d of the report is affirmed', async (version) => {
    expect(await appraise({ version })).toMatchObject({ status: 'affirming' });
  });
});
