import { describe, expect, it } from '@jest/globals';
import type { Appraisal } from '@muster/shared/evidence/appraisal.js';
import { nvVerifier } from '@muster/shared/evidence/x-nv-gpu/verifier.js';
import { writeDocument } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { pemOf } from '../../../devices/nvml/gpus.js';
import { appraise, codes, deviceOf, rimDocuments, type NvCase } from '../../../support/nvidia-case.js';
import {
  goodResponses,
  manifest,
  measurementOf,
  range,
  rimDocument,
  simulatedGpu,
  switchesOfGpu,
  switchReport,
  switchVersion,
  type DeviceOptions,
  type ReportOptions,
} from '../../../support/nvidia-device.js';
import { ocspResponse } from '../../../support/nvidia-pki.js';

const gpus = ['one', 'two'].map((name) => simulatedGpu({ name }));
const switches = ['first', 'second'].map((name) => simulatedGpu({ chip: 'LS_10', name }));
const switchPdis = ['203eb31ad9ed0008', '1043c14e83599663'];
const gpuPdis = ['40b9c6b3d748fd90', 'fdb529f1473cb225'];
const bios = manifest({ version: switchVersion, active: range(0, 30) });
const documents = [
  ...rimDocuments,
  rimDocument(bios.xml),
  ...[...gpus, ...switches].flatMap(({ chain }) => goodResponses(chain, 1)),
];

type Device = NonNullable<NvCase['devices']>[number];

/** A device of a machine with two GPUs and two switches, or one that differs from it. */
const gpuPart = (index: number, linked: readonly string[] = switchPdis): Device =>
  deviceOf(gpus[index] ?? simulatedGpu(), switchesOfGpu(...linked));
function switchPart(
  index: number,
  { device = switches[index], own = switchPdis[index], linked = gpuPdis, report = {} }: SwitchChanges = {},
): Device {
  if (device === undefined || own === undefined) throw new Error('no such switch');
  const certificates = device.chain.map(({ certificate }) => certificate);
  return { report: switchReport(device, { own, gpus: linked }, report), certificates };
}
interface SwitchChanges {
  readonly device?: ReturnType<typeof simulatedGpu>;
  readonly own?: string;
  readonly linked?: readonly string[];
  readonly report?: ReportOptions;
}

const machine = [gpuPart(0), gpuPart(1), switchPart(0), switchPart(1)];
const judge = (devices: readonly Device[], policy: object = {}): Promise<Appraisal> =>
  appraise({ devices, documents, policy: { ...policy } });

describe('a machine with switches', () => {
  it('is affirmed, with a result for each of its devices', async () => {
    const appraisal = await judge(machine, { gpus: { exactly: 2 }, switches: { exactly: 2 } });
    expect(appraisal).toMatchObject({ status: 'affirming', reasons: [] });
    expect(appraisal.devices?.map(({ name, status }) => [name, status])).toEqual([
      ['GPU-0', 'affirming'],
      ['GPU-1', 'affirming'],
      ['SWITCH-0', 'affirming'],
      ['SWITCH-1', 'affirming'],
    ]);
    expect(appraisal.claims['devices']).toMatchObject({
      'SWITCH-0': {
        architecture: 'ls10',
        chip: 'LS10',
        firmware_version: switchVersion,
        measurement_blocks: 31,
        pdis: ['203eb31ad9ed0008'],
        gpu_pdis: gpuPdis,
        results: { signature: 'valid', nonce: 'match', fwid: 'unreported', measurements: 'match' },
      },
    });
  });

  it('may be given as nvattest collects it, GPUs and switches in one list', async () => {
    const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');
    const chains = [...gpus, ...switches].map(pemOf);
    const evidences = machine.map(({ report }, index) => ({
      arch: index < 2 ? 'HOPPER' : 'LS10',
      evidence: base64(report),
      certificate: base64(chains[index] ?? ''),
      nonce: 'ff',
      version: '1.0',
    }));
    const evidence = Buffer.from(JSON.stringify({ evidences, result_code: 0 }));
    expect((await appraise({ evidence, documents })).status).toBe('affirming');
  });

  it('is asked about at NVIDIA by the names of its manifests', async () => {
    const queries = await nvVerifier.endorsementQueries(
      { namespace: 'x-nv-gpu', evidence: writeDocument({ devices: [switchPart(0)] }) },
      { certificates: [], crls: [] },
    );
    expect(queries.filter(({ kind }) => kind === 'nvidia-rim').map(({ path }) => path)).toEqual([
      'v1/rim/NV_SWITCH_BIOS_5612_0002_890_9610550001',
    ]);
  });

  it('needs a GPU, unless the policy is content with switches', async () => {
    expect(codes(await judge([switchPart(0), switchPart(1)]))).toEqual(['NV_DEVICE_COUNT']);
    expect((await judge([switchPart(0), switchPart(1)], { gpus: {} })).status).toBe('affirming');
  });
});

describe('a switch is refused', () => {
  const changed = (options: DeviceOptions): ReturnType<typeof simulatedGpu> =>
    simulatedGpu({ chip: 'LS_10', name: 'first', ...options });
  const faults: readonly (readonly [string, string, SwitchChanges])[] = [
    ['with another nonce', 'NV_NONCE', { report: { nonce: new Uint8Array(32) } }],
    ['with another signature', 'NV_REPORT_SIGNATURE', { report: { key: simulatedGpu({ name: 'x' }).key } }],
    ['with another root', 'NV_ROOT_UNTRUSTED', { device: changed({ rootName: 'Another Root' }) }],
    [
      'with a firmware identifier that is not the certified one',
      'NV_FWID_MISMATCH',
      { report: { opaque: { 20: Buffer.alloc(48, 1) } } },
    ],
    [
      'with a firmware identifier that its certificate lacks',
      'NV_FWID_MISSING',
      { device: changed({ fwid: null }), report: { opaque: { 20: Buffer.alloc(48, 1) } } },
    ],
    [
      'with another measurement',
      'NV_MEASUREMENT_MISMATCH',
      { report: { blocks: range(0, 30).map((index) => [index + 1, measurementOf(index + 1)] as const) } },
    ],
    [
      'with a measurement less',
      'NV_MEASUREMENT_MISMATCH',
      { report: { blocks: range(0, 29).map((index) => [index + 1, measurementOf(index)] as const) } },
    ],
    ['without a version', 'NV_REPORT_MALFORMED', { report: { opaque: { 6: null } } }],
  ];

  it.each(faults)('%s: %s', async (_, code, changes) => {
    const { status, reasons } = await judge([gpuPart(0), gpuPart(1), switchPart(0, changes), switchPart(1)]);
    expect(status).toBe('contraindicated');
    const named = reasons.map(({ code, path = '' }) => `${code} ${path}`);
    // One whose signature or chain does not hold is not known to be a switch.
    expect(named.some((entry) => entry.startsWith(`${code} `) && /SWITCH-0|GPU-2/.test(entry))).toBe(true);
  });

  it('not, but left open, while its manifest is not at hand: those of other devices are not meant for it', async () => {
    const others = documents.filter(({ content }) => !Buffer.from(content).includes(switchVersion));
    const { status, reasons } = await appraise({ devices: machine, documents: others });
    expect([status, reasons.map(({ code, path }) => [code, path])]).toEqual([
      'none',
      [
        ['NV_RIM_MISSING', 'SWITCH-0'],
        ['NV_RIM_MISSING', 'SWITCH-1'],
      ],
    ]);
  });

  it('of another version than the manifest at hand', async () => {
    const other = switchPart(0, { report: { opaque: { 6: Buffer.from('96.10.55.00.02\0') } } });
    expect(codes(await judge([other], { gpus: {} }))).toEqual(['NV_RIM_VERSION']);
  });

  it('whose certificate was revoked', async () => {
    const [, own, ica] = switches[0]?.chain ?? [];
    if (own === undefined || ica === undefined) throw new Error('no chain');
    const revoked = { kind: 'ocsp' as const, content: ocspResponse(own, ica, { status: 'revoked' }) };
    const { reasons } = await appraise({ devices: machine, documents: [...documents, revoked] });
    expect(reasons).toMatchObject([{ code: 'NV_CERTIFICATE_REVOKED', path: 'SWITCH-0' }]);
  });

  it('when it is there twice', async () => {
    const { reasons } = await judge([...machine, switchPart(0)]);
    expect(reasons).toContainEqual(expect.objectContaining({ code: 'NV_DEVICE_REPEATED', path: 'SWITCH-2' }));
  });
});

describe('the topology', () => {
  const wrong: readonly (readonly [string, string, readonly Device[]])[] = [
    ['a switch that no GPU names', 'GPU-0', [...machine.slice(0, 3), switchPart(1, { own: 'aa'.repeat(8) })]],
    ['a switch that is missing', 'GPU-0', machine.slice(0, 3)],
    [
      'a GPU that is linked to one switch only',
      'GPU-1',
      [gpuPart(0), gpuPart(1, switchPdis.slice(0, 1)), ...machine.slice(2)],
    ],
    [
      'a GPU that is linked to a third one',
      'GPU-0',
      [gpuPart(0, [...switchPdis, 'bb'.repeat(8)]), ...machine.slice(1)],
    ],
    ['a GPU that names no switch', 'GPU-0', [gpuPart(0, []), ...machine.slice(1)]],
    ['a GPU that is missing', 'SWITCH-0', machine.slice(1)],
    [
      'switches that are linked to other GPUs',
      'SWITCH-1',
      [...machine.slice(0, 3), switchPart(1, { linked: ['cc'.repeat(8), 'dd'.repeat(8)] })],
    ],
    [
      'a switch without GPUs',
      'SWITCH-0',
      [...machine.slice(0, 2), switchPart(0, { linked: [] }), switchPart(1)],
    ],
    [
      'two switches of one identifier',
      'SWITCH-1',
      [...machine.slice(0, 3), switchPart(1, { own: switchPdis[0] ?? '' })],
    ],
    [
      'a switch of two identifiers',
      'SWITCH-1',
      [...machine.slice(0, 3), switchPart(1, { own: 'aa'.repeat(8) + 'bb'.repeat(8) })],
    ],
    ['a switch without an identifier', 'SWITCH-1', [...machine.slice(0, 3), switchPart(1, { own: '' })]],
  ];

  it.each(wrong)('refuses %s', async (_, path, devices) => {
    const { status, reasons } = await judge(devices);
    expect([status, reasons.map((entry) => [entry.code, entry.path])]).toEqual([
      'contraindicated',
      [['NV_TOPOLOGY', path]],
    ]);
  });

  it('may be a warning, or be left out', async () => {
    const devices = machine.slice(0, 3);
    expect((await judge(devices, { warn_on: ['topology'] })).status).toBe('warning');
    expect((await judge(devices, { topology: false })).status).toBe('affirming');
  });

  it('says nothing of GPUs alone', async () => {
    expect((await judge(machine.slice(0, 2))).status).toBe('affirming');
  });
});
