import type { SpdmReport } from './report.js';

/** Types of opaque fields in NVIDIA's reports. */
const types = {
  driverVersion: 3,
  vbiosVersion: 6,
  nvdec0: 11,
  chipSku: 15,
  project: 17,
  projectSku: 18,
  fwid: 20,
  ppcie: 21,
  pdi: 22,
  switchGpuPdis: 26,
  dataVersion: 34,
  chip: 35,
  feature: 36,
} as const;

/** Length of an identifier of a GPU or switch, bytes. */
const pdiLength = 8;
/** A switch names so many GPUs; bytes about its ports follow. */
const gpusOfSwitch = 8;
/** The values of fields that say off or on. */
const off = 0x55;
const on = 0xaa;

/** A field that is off or on; undefined when it is absent, `invalid` when it is neither. */
export type Switch = 'off' | 'on' | 'invalid' | undefined;

/** What a report says beside its measurements; all of it is signed by the device. */
export interface ReportFields {
  /** For example `550.90.07`; switches have none. */
  readonly driverVersion?: string;
  /** For example `96.00.9F.00.01`. */
  readonly vbiosVersion?: string;
  readonly project?: string;
  readonly projectSku?: string;
  readonly chipSku?: string;
  /** The digest of the firmware that the device was started with, 48 bytes. */
  readonly fwid?: Uint8Array;
  /** Whether measurement 35 counts. */
  readonly nvdec0: Switch;
  /** Whether the link to the CPU is protected PCIe. */
  readonly ppcie: Switch;
  /** How the GPUs work together. */
  readonly feature?: 'SPT' | 'MPT' | 'PPCIE' | 'invalid';
  /** For example `GB100`; from opaque data version 1 on. */
  readonly chip?: string;
  /** A switch: its own identifier. A GPU: those of the switches that it is linked to, in reverse. Lower-case hex. */
  readonly pdis: readonly string[];
  /** The identifiers of the GPUs that a switch is linked to, lower-case hex. */
  readonly gpuPdis: readonly string[];
}

/** Reads the opaque fields that matter. A field of unexpected form counts as absent, or as `invalid`. */
export function reportFields({ opaque }: SpdmReport): ReportFields {
  const text = (type: number): string | undefined => readText(opaque.get(type));
  return {
    ...present('driverVersion', text(types.driverVersion)),
    ...present('vbiosVersion', readVbiosVersion(opaque.get(types.vbiosVersion))),
    ...present('project', text(types.project)),
    ...present('projectSku', text(types.projectSku)),
    ...present('chipSku', text(types.chipSku)),
    ...present('fwid', opaque.get(types.fwid)),
    nvdec0: readSwitch(opaque.get(types.nvdec0)),
    ppcie: readSwitch(opaque.get(types.ppcie)),
    ...present('feature', readFeature(opaque.get(types.feature))),
    ...present('chip', text(types.chip)),
    pdis: readPdis(opaque.get(types.pdi)),
    gpuPdis: readPdis(opaque.get(types.switchGpuPdis)?.subarray(0, gpusOfSwitch * pdiLength)),
  };
}

/** Printable ASCII up to the first zero byte; undefined for anything else. */
function readText(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const text = Buffer.from(value).toString('latin1').replace(/\0+$/, '');
  return /^[A-Za-z0-9._-]{1,64}$/.test(text) ? text : undefined;
}

const versionText = /^[0-9A-F]{2}(?:\.[0-9A-F]{2}){4}$/;

/**
 * A switch gives its version as text. A GPU gives two numbers of four bytes, little-endian: the second is the version
 * and the lowest byte of the first its last part.
 */
function readVbiosVersion(value: Uint8Array | undefined): string | undefined {
  const text = readText(value)?.toUpperCase();
  if (text !== undefined && versionText.test(text)) return text;
  if (value?.length !== 8) return undefined;
  const bytes = [...value];
  const parts = [...bytes.slice(0, 4).toReversed(), bytes[4] ?? 0];
  return parts.map((part) => part.toString(16).padStart(2, '0').toUpperCase()).join('.');
}

function readSwitch(value: Uint8Array | undefined): Switch {
  if (value === undefined) return undefined;
  if (value.length !== 1) return 'invalid';
  if (value[0] === off) return 'off';
  return value[0] === on ? 'on' : 'invalid';
}

function readFeature(value: Uint8Array | undefined): ReportFields['feature'] {
  if (value === undefined) return undefined;
  const isNumber = value.length > 0 && value.length <= 4 && value.subarray(1).every((byte) => byte === 0);
  return (isNumber ? (['SPT', 'MPT', 'PPCIE'] as const)[value[0] ?? -1] : undefined) ?? 'invalid';
}

/** Zeros stand for links that are not used. */
function readPdis(value: Uint8Array | undefined): readonly string[] {
  if (value === undefined || value.length % pdiLength !== 0) return [];
  const hex = Buffer.from(value).toString('hex');
  const all = hex.match(/.{16}/g) ?? [];
  return [...new Set(all)].filter((pdi) => !/^0+$/.test(pdi));
}

function present<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { readonly [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [K in Key]: Value });
}
