import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createAttesters, attestersConfigSchema } from '@muster/attester/attesters.js';
import { openNvml } from '@muster/attester/x-nv-gpu/nvml.js';
import { collectRound } from '@muster/attester/round.js';
import type { Attester } from '@muster/attester/attester.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { readDocument } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { gpuNonce } from '@muster/shared/evidence/x-nv-gpu/nonce.js';
import { describeReturn } from '@muster/attester/x-nv-gpu/return-codes.js';
import { pemOf } from '../../devices/nvml/gpus.js';
import { appraise } from '../../support/nvidia-case.js';
import { simulatedGpu, spdmReport, type SimulatedGpu } from '../../support/nvidia-device.js';
import { compileForTests } from '../../support/stand-in.js';
import { describeVectors, vector } from '../../support/vectors.js';

const directory = mkdtempSync(join(tmpdir(), 'muster-nvml-'));
const [library, oldLibrary] = ['nvml.so', 'nvml-old.so'].map((name) => join(directory, name)) as [
  string,
  string,
];
const reportData = new Uint8Array(64).fill(3);
const gpu = simulatedGpu();
afterAll(() => rmSync(directory, { recursive: true }));

const compile = (output: string, ...flags: readonly string[]): boolean =>
  compileForTests('nvml/nvml.c', output, `-DDIRECTORY="${directory}"`, ...flags);

const write = (name: string, content: string | Uint8Array): void =>
  writeFileSync(join(directory, name), content);

function attach(index: number, device: SimulatedGpu, nonce: Uint8Array): void {
  write(`gpu-${index}.pem`, pemOf(device));
  write(`gpu-${index}.spdm`, spdmReport(device, { nonce }));
}

function attester(path = library): Attester {
  const [made] = createAttesters(attestersConfigSchema.parse([{ namespace: 'x-nv-gpu', library: path }]));
  if (made === undefined) throw new Error('no attester');
  return made;
}

const collect = (path = library, related: readonly Evidence[] = []): Promise<Evidence> =>
  attester(path).collect(reportData, { related });

(compile(library) ? describe : describe.skip)('NVML', () => {
  beforeAll(() => void compile(oldLibrary, '-DOLD_DRIVER'));
  beforeEach(() => {
    write('state', '2 1 0 0');
    write('fail', '');
    attach(0, gpu, gpuNonce(reportData));
    rmSync(join(directory, 'gpu-1.pem'), { force: true });
  });

  it('gives evidence that is affirmed', async () => {
    const { evidence, namespace } = await collect();
    expect(namespace).toBe('x-nv-gpu');
    const input = { reportData, nonce: undefined } as never;
    expect(await appraise({ evidence, input })).toMatchObject({ status: 'affirming', reasons: [] });
  });

  it('gives evidence of every GPU, and the settings of the driver', async () => {
    attach(1, simulatedGpu({ name: 'two' }), gpuNonce(reportData));
    write('state', '2 0 1 1');
    expect(readDocument((await collect()).evidence)).toMatchObject({
      devices: [{}, {}],
      settings: { devtools_mode: true, multi_gpu_mode: 'ppcie' },
    });
  });

  it('gives evidence with a driver that knows no mode of several GPUs', async () => {
    const document = readDocument((await collect(oldLibrary)).evidence);
    expect(document).toMatchObject({ settings: { devtools_mode: false, multi_gpu_mode: 'none' } });
  });

  it('is asked after the CPU, and answers a nonce with its evidence', async () => {
    const cpu = { namespace: 'x-snp', evidence: Uint8Array.of(1, 2, 3) };
    attach(0, gpu, gpuNonce(reportData, cpu.evidence));
    const first: Attester = { namespace: 'x-snp', collect: () => Promise.resolve(cpu) };
    const round = await collectRound([attester(), first], reportData);
    expect(round.map(({ namespace, outcome }) => [namespace, outcome.status])).toEqual([
      ['x-nv-gpu', 'fulfilled'],
      ['x-snp', 'fulfilled'],
    ]);
    await expect(collect()).rejects.toMatchObject({ message: expect.stringMatching(/another request/) });
  });

  it('says exactly that confidential computing is off', async () => {
    write('state', '2 0 0 0');
    await expect(collect()).rejects.toMatchObject({
      code: 'NV_CONFIDENTIAL_COMPUTING_OFF',
      message: expect.stringMatching(/confidential computing is off on the GPUs of this machine/),
      reasons: [{ namespace: 'x-nv-gpu' }],
    });
  });

  it.each<[string, number, RegExp]>([
    ['nvmlInit_v2', 9, /driver is not loaded.*NVML_ERROR_DRIVER_NOT_LOADED, 9/],
    ['nvmlInit_v2', 18, /different versions/],
    ['nvmlSystemGetConfComputeState', 3, /does not support confidential computing/],
    ['nvmlSystemGetConfComputeState', 13, /too old/],
    ['nvmlSystemGetConfComputeSettings', 999, /internal error/],
    ['nvmlDeviceGetCount_v2', 1, /not initialized/],
    ['nvmlDeviceGetHandleByIndex_v2', 4, /may not use the GPU/],
    ['nvmlDeviceGetConfComputeGpuCertificate', 15, /fell off the bus/],
    ['nvmlDeviceGetConfComputeGpuAttestationReport', 27, /not ready/],
    ['nvmlDeviceGetConfComputeGpuAttestationReport', 12345, /not known \(unnamed, 12345\)/],
  ])('that fails in %s with %i says what that means', async (name, code, message) => {
    write('fail', `${name} ${code}`);
    await expect(collect()).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringMatching(message),
    });
    write('fail', '');
    expect((await collect()).evidence.length).toBeGreaterThan(0);
  });

  it('names the GPU that fails', async () => {
    attach(1, simulatedGpu({ name: 'two' }), gpuNonce(reportData).toReversed());
    await expect(collect()).rejects.toMatchObject({
      reasons: [{ path: 'GPU-1', message: expect.stringMatching(/GPU-1: .* answers another request/) }],
    });
    write('fail', 'nvmlDeviceGetConfComputeGpuCertificate 16');
    await expect(collect()).rejects.toMatchObject({
      reasons: [{ path: 'GPU-0', message: expect.stringMatching(/GPU-0: .* needs a reset/) }],
    });
  });

  it('without a GPU, with an unreadable report or chain gives no evidence', async () => {
    write('gpu-0.spdm', 'no report');
    await expect(collect()).rejects.toMatchObject({
      message: expect.stringMatching(/report that is not readable/),
    });
    write('gpu-0.spdm', '');
    await expect(collect()).rejects.toMatchObject({ message: expect.stringMatching(/returned 0 bytes/) });
    write('gpu-0.pem', '-----BEGIN CERTIFICATE-----');
    await expect(collect()).rejects.toMatchObject({
      message: expect.stringMatching(/chain that is not readable/),
    });
    rmSync(join(directory, 'gpu-0.pem'));
    await expect(collect()).rejects.toMatchObject({ message: expect.stringMatching(/finds no GPU/) });
  });

  it('that is not installed is refused', async () => {
    await expect(collect('/none.so')).rejects.toMatchObject({
      message: expect.stringMatching(/cannot be loaded/),
    });
  });

  describeVectors('with a real report', () => {
    it('hands it out byte by byte', async () => {
      const hex = Buffer.from(vector('nvidia/hopper/report.txt')).toString('latin1').trim();
      const report = Uint8Array.from(Buffer.from(hex, 'hex'));
      const pem = vector('nvidia/hopper/cert_chain_case1.txt');
      write('gpu-0.spdm', report);
      write('gpu-0.pem', pem);
      const nvml = await openNvml(library);
      const [first] = await nvml.devices();
      if (first === undefined) throw new Error('no GPU');
      expect(await nvml.report(first, report.subarray(4, 36))).toEqual(report);
      expect(await nvml.certificates(first)).toEqual(pem);
      await nvml.close();
    });
  });
});

it('has words for every return code of nvml.h', () => {
  const codes = [...Array.from({ length: 30 }, (_, index) => index + 1), 999];
  const texts = codes.map(describeReturn);
  expect(texts.filter((text) => /unnamed/.test(text))).toEqual([]);
  expect(new Set(texts).size).toBe(codes.length);
});
