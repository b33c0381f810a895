import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { attestersConfigSchema, createAttesters } from '@muster/attester/attesters.js';
import { openNscq } from '@muster/attester/x-nv-gpu/nscq.js';
import { describeNscqReturn } from '@muster/attester/x-nv-gpu/return-codes.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { readDocument } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { gpuNonce } from '@muster/shared/evidence/x-nv-gpu/nonce.js';
import { pemOf } from '../../devices/nvml/gpus.js';
import { appraise, rimDocuments } from '../../support/nvidia-case.js';
import {
  goodResponses,
  manifest,
  range,
  rimDocument,
  simulatedGpu,
  spdmReport,
  switchesOfGpu,
  switchReport,
  switchVersion,
} from '../../support/nvidia-device.js';
import { compileForTests } from '../../support/stand-in.js';

const directory = mkdtempSync(join(tmpdir(), 'muster-nscq-'));
const [library, switchLibrary] = [join(directory, 'nvml.so'), join(directory, 'nscq.so')];
const reportData = new Uint8Array(64).fill(3);
const nonce = gpuNonce(reportData);
const gpu = simulatedGpu();
const switches = ['first', 'second'].map((name) => simulatedGpu({ chip: 'LS_10', name }));
const pdis = ['203eb31ad9ed0008', '1043c14e83599663'];
afterAll(() => rmSync(directory, { recursive: true }));

const write = (name: string, content: string | Uint8Array): void =>
  writeFileSync(join(directory, name), content);

const isCompiled =
  compileForTests('nvml/nvml.c', library, `-DDIRECTORY="${directory}"`) &&
  compileForTests('nscq/nscq.c', switchLibrary, `-DDIRECTORY="${directory}"`);

async function collect(path = switchLibrary): Promise<Evidence> {
  const config = { namespace: 'x-nv-gpu', library, switch_library: path };
  const [attester] = createAttesters(attestersConfigSchema.parse([config]));
  if (attester === undefined) throw new Error('no attester');
  return attester.collect(reportData);
}

(isCompiled ? describe : describe.skip)('NSCQ', () => {
  beforeEach(() => {
    write('state', '2 0 0 1');
    write('fail', '');
    write('gpu-0.pem', pemOf(gpu));
    write('gpu-0.spdm', spdmReport(gpu, { nonce, ...switchesOfGpu(...pdis) }));
    for (const [index, device] of switches.entries()) {
      write(`switch-${index}.pem`, pemOf(device));
      const links = { own: pdis[index] ?? '', gpus: ['40b9c6b3d748fd90'] };
      write(`switch-${index}.spdm`, switchReport(device, links, { nonce }));
    }
  });

  it('gives evidence of every switch after that of the GPUs, for one nonce, which is affirmed', async () => {
    const { evidence } = await collect();
    expect(readFileSync(join(directory, 'nonce'))).toEqual(Buffer.from(nonce));
    const bios = manifest({ version: switchVersion, active: range(0, 30) });
    const documents = [
      ...rimDocuments,
      rimDocument(bios.xml),
      ...[gpu, ...switches].flatMap(({ chain }) => goodResponses(chain, 1)),
    ];
    const appraisal = await appraise({
      evidence,
      documents,
      policy: { gpus: { exactly: 1 }, switches: { exactly: 2 } },
      input: { reportData, nonce: undefined } as never,
    });
    expect(appraisal).toMatchObject({ status: 'affirming', reasons: [] });
    expect(appraisal.devices?.map(({ name }) => name)).toEqual(['GPU-0', 'SWITCH-0', 'SWITCH-1']);
  });

  it('is not asked where the configuration names no library', async () => {
    const [attester] = createAttesters(attestersConfigSchema.parse([{ namespace: 'x-nv-gpu', library }]));
    const document = readDocument((await attester?.collect(reportData))?.evidence ?? new Uint8Array());
    expect(document).toMatchObject({ devices: [{}] });
  });

  it('hands out what the switches say byte by byte, again and again', async () => {
    for (let round = 0; round < 3; round += 1) {
      const nscq = await openNscq(switchLibrary);
      const found = await nscq.devices();
      expect(found).toEqual([
        { name: 'SWITCH-0', label: 'SWX-00' },
        { name: 'SWITCH-1', label: 'SWX-01' },
      ]);
      for (const [index, device] of found.entries()) {
        const [pem, spdm] = ['pem', 'spdm'].map((kind) =>
          readFileSync(join(directory, `switch-${index}.${kind}`)),
        );
        expect(Buffer.from(await nscq.certificates(device))).toEqual(pem);
        expect(Buffer.from(await nscq.report(device, nonce))).toEqual(spdm);
      }
      await nscq.close();
    }
  });

  it.each<[string, number, RegExp, string]>([
    ['nscq_session_create', -6, /different versions.*NSCQ_RC_ERROR_UNSUPPORTED_DRV, -6/, ''],
    ['nscq_session_path_observe', -7, /driver of the switches failed/, ''],
    ['uuid', -3, /cannot be used/, ''],
    ['nscq_uuid_to_label', -2, /does not know the switch/, 'SWITCH-0'],
    ['certificate', -8, /did not answer in time/, 'SWITCH-0'],
    ['nscq_session_set_input', -5, /does not understand/, 'SWITCH-0'],
    ['attestation_report', -128, /does not name/, 'SWITCH-0'],
    ['attestation_report', -99, /not known \(unnamed, -99\)/, 'SWITCH-0'],
  ])('that fails in %s with %i says what that means', async (name, code, message, path) => {
    write('fail', `${name} ${code}`);
    await expect(collect()).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: expect.stringMatching(message),
      reasons: [{ namespace: 'x-nv-gpu', ...(path !== '' && { path }) }],
    });
    write('fail', '');
    expect((await collect()).evidence.length).toBeGreaterThan(0);
  });

  it('that only warns gives evidence', async () => {
    write('fail', 'nscq_session_create 1');
    expect((await collect()).evidence.length).toBeGreaterThan(0);
  });

  it('without a switch, with an unreadable or foreign answer gives no evidence', async () => {
    const refused = async (message: RegExp): Promise<void> => {
      await expect(collect()).rejects.toMatchObject({ message: expect.stringMatching(message) });
    };
    const [first] = switches;
    if (first === undefined) throw new Error('no switch');
    write('switch-0.spdm', switchReport(first, { own: pdis[0] ?? '', gpus: [] }));
    await refused(/SWITCH-0: .* answers another request/);
    write('switch-0.spdm', 'no report');
    await refused(/SWITCH-0: .*report that is not readable/);
    write('switch-0.spdm', '');
    await refused(/SWITCH-0: .*returned 0 bytes; 1 to 8192/);
    write('switch-0.pem', '-----BEGIN CERTIFICATE-----');
    await refused(/SWITCH-0: .*chain that is not readable/);
    rmSync(join(directory, 'switch-0.pem'));
    await refused(/finds no switch/);
  });

  it('that is not installed, or is another library, is refused', async () => {
    await expect(collect('/none.so')).rejects.toMatchObject({
      message: expect.stringMatching(/none.so cannot be loaded; install NVIDIA's NSCQ/),
    });
    await expect(collect(library)).rejects.toMatchObject({
      message: expect.stringMatching(/has no nscq_session_create; update it/),
    });
  });
});

it('has words for every error of nscq_attestation.h', () => {
  const codes = [-1, -2, -3, -4, -5, -6, -7, -8, -127, -128];
  const texts = codes.map(describeNscqReturn);
  expect(texts.filter((text) => /unnamed/.test(text))).toEqual([]);
  expect(new Set(texts).size).toBe(codes.length);
});
