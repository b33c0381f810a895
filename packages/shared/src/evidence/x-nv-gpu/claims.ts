import type { Json } from '../appraisal.js';
import type { ProvenDevice } from './device-chain.js';
import type { ReportFields } from './fields.js';
import type { Match } from './measurements.js';
import type { SpdmReport } from './report.js';

type Claims = { readonly [key: string]: Json };

/** What the verifier found out, as far as it came. */
export interface DeviceResults {
  readonly device?: ProvenDevice;
  readonly signature?: 'valid';
  readonly nonce?: 'match' | 'mismatch' | 'unchecked';
  readonly fwid?: 'match' | 'mismatch' | 'unreported';
  readonly match?: Match;
}

/** What a report says and what was found out about it, for people and programs; byte strings in lower-case hex. */
export function deviceClaims(report: SpdmReport, fields: ReportFields, results: DeviceResults = {}): Claims {
  const { device, signature, nonce, fwid, match } = results;
  return {
    ...(device === undefined ? {} : identityClaims(device)),
    ...optional('driver_version', fields.driverVersion),
    ...optional('firmware_version', fields.vbiosVersion),
    ...optional('project', fields.project),
    ...optional('project_sku', fields.projectSku),
    ...optional('chip_sku', fields.chipSku),
    nonce: hexOf(report.nonce),
    ...(fields.fwid === undefined ? {} : { fwid: hexOf(fields.fwid) }),
    measurement_blocks: report.blocks.size,
    ...optional('nvdec0', fields.nvdec0),
    ...optional('protected_pcie', fields.ppcie),
    ...optional('feature', fields.feature),
    ...(fields.pdis.length === 0 ? {} : { pdis: fields.pdis }),
    ...(fields.gpuPdis.length === 0 ? {} : { gpu_pdis: fields.gpuPdis }),
    results: {
      chain: device === undefined ? 'unproven' : 'valid',
      signature: signature ?? 'unproven',
      ...optional('nonce', nonce),
      ...optional('fwid', fwid),
      measurements: match === undefined ? 'unproven' : 'match',
    },
    ...(match === undefined
      ? {}
      : { measurements_compared: match.compared, rims: match.rims.map(rimClaims) }),
  };
}

function identityClaims({ chain: [leaf, own], chip, architecture, id }: ProvenDevice): Claims {
  return {
    architecture,
    chip,
    model: own.commonName,
    device_id: id,
    /** As NVIDIA's attestation service names the device. */
    ueid: BigInt(`0x${leaf.serial}`).toString(),
  };
}

function rimClaims({ rim, chain }: Match['rims'][number]): Claims {
  const until = Math.min(...chain.map(({ notAfter }) => notAfter.getTime()));
  return {
    kind: rim.kind,
    version: rim.version,
    product: rim.product,
    signer: chain[0]?.commonName ?? '',
    valid_until: new Date(until).toISOString(),
  };
}

function optional(name: string, value: string | undefined): Claims {
  return value === undefined ? {} : { [name]: value };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
