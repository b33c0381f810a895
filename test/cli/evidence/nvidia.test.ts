import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from '@jest/globals';
import { pemOf } from '../../devices/nvml/gpus.js';
import { muster, type CliResult } from '../../support/cli.js';
import {
  defaultNonce,
  manifest,
  nvTime,
  range,
  simulatedGpu,
  switchReport,
  switchVersion,
} from '../../support/nvidia-device.js';

const folder = mkdtempSync(join(tmpdir(), 'muster-nvidia-'));
afterAll(() => rmSync(folder, { recursive: true }));

const device = simulatedGpu({ chip: 'LS_10', name: 'switch' });
const bios = manifest({ version: switchVersion, active: range(0, 30) });
const report = switchReport(device, { own: '203eb31ad9ed0008', gpus: ['40b9c6b3d748fd90'] });
const base64 = (content: string | Uint8Array): string => Buffer.from(content).toString('base64');

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const collected = file(
  'switches.json',
  JSON.stringify([{ arch: 'LS10', evidence: base64(report), certificate: base64(pemOf(device)) }]),
);
const rim = file('bios.xml', bios.xml);

function verify(...args: readonly string[]): Promise<CliResult> {
  const what = ['--namespace', 'x-nv-gpu', '--evidence', collected, '--offline', '-o', 'json'];
  const when = ['--nonce', Buffer.from(defaultNonce).toString('hex'), '--at', nvTime.toISOString()];
  const roots = ['--simulated-root', device.fingerprint, '--simulated-root', bios.fingerprint];
  return muster(['evidence', 'verify', ...what, ...when, ...roots, ...args]);
}

it('affirms switches that nvattest collected without their GPUs', async () => {
  const { code, out } = await verify('--rim', rim);
  expect([code, JSON.parse(out)]).toMatchObject([
    0,
    {
      status: 'affirming',
      reasons: [],
      claims: { devices: { 'SWITCH-0': { firmware_version: switchVersion } } },
    },
  ]);
});

it('says how far it came without the manifest', async () => {
  const { out } = await verify();
  expect(JSON.parse(out)).toMatchObject({
    status: 'none',
    reasons: [{ code: 'NV_RIM_MISSING' }],
    claims: { devices: { 'SWITCH-0': { results: { chain: 'valid', signature: 'valid', nonce: 'match' } } } },
  });
});

it('counts devices where a policy file asks for it', async () => {
  const policy = file('policy.yaml', 'gpus: { minimum: 1 }\n');
  const { code, out } = await verify('--rim', rim, '--policy', policy);
  expect([code, JSON.parse(out)]).toMatchObject([1, { reasons: [{ code: 'NV_DEVICE_COUNT' }] }]);
});
