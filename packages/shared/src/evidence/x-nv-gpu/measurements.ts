import { reason, type Reason } from '../../reasons.js';
import { select } from '../select.js';
import type { Switch } from './fields.js';
import type { RimMeasurement } from './rim.js';
import type { TrustedRim } from './rim-trust.js';

/** The index of the manifests' measurement that counts only while NVDEC0, a video decoder, is on. */
const nvdec0Index = 35;

/** The measurements of a device, and what decides which of them count. */
export interface MeasuredDevice {
  /** Values by block index, from 1. */
  readonly blocks: ReadonlyMap<number, Uint8Array>;
  /** The status of NVDEC0; undefined for a switch, which has none. */
  readonly nvdec0: { readonly status: Switch } | undefined;
}

/** Manifests of which every active measurement is met. */
export interface Match {
  readonly rims: readonly TrustedRim[];
  /** How many measurements were compared. */
  readonly compared: number;
}

/**
 * Compares a device with the manifests of its slots, one of each. Among several candidates one fitting combination is
 * enough. Reasons: NV_NVDEC0_STATUS, NV_RIM_OVERLAP, NV_MEASUREMENT_MISMATCH.
 */
export function matchMeasurements(
  device: MeasuredDevice,
  slots: readonly (readonly TrustedRim[])[],
): Match | Reason {
  const status = device.nvdec0?.status;
  if (device.nvdec0 !== undefined && status !== 'on' && status !== 'off') return reason('NV_NVDEC0_STATUS');
  const { passed, failure } = select(combinations(slots), [
    (rims) => (overlaps(rims) ? reason('NV_RIM_OVERLAP') : undefined),
    (rims) => mismatchReason(device.blocks, counted(rims, status)),
  ]);
  const [rims] = passed;
  if (rims === undefined) return failure ?? reason('NV_RIM_MISSING');
  return { rims, compared: counted(rims, status).length };
}

/** The active measurements that count for a device. */
function counted(rims: readonly TrustedRim[], nvdec0: Switch): readonly RimMeasurement[] {
  return active(rims).filter(({ index }) => index !== nvdec0Index || nvdec0 !== 'off');
}

function active(rims: readonly TrustedRim[]): readonly RimMeasurement[] {
  return rims.flatMap(({ rim }) => rim.measurements.filter((measurement) => measurement.active));
}

function overlaps(rims: readonly TrustedRim[]): boolean {
  const indexes = active(rims).map(({ index }) => index);
  return new Set(indexes).size < indexes.length;
}

function mismatchReason(
  blocks: ReadonlyMap<number, Uint8Array>,
  expected: readonly RimMeasurement[],
): Reason | undefined {
  const differing = expected.filter((measurement) => !isMet(measurement, blocks)).map(({ index }) => index);
  if (expected.length === 0) {
    return reason('NV_MEASUREMENT_MISMATCH', { message: 'The manifests have no active measurement.' });
  }
  if (differing.length === 0) return undefined;
  const indexes = differing.toSorted((a, b) => a - b).join(', ');
  return reason('NV_MEASUREMENT_MISMATCH', {
    message: `These measurements of the manifests are not met: ${indexes}.`,
  });
}

/** Index i of a manifest is block i + 1 of a report. */
function isMet({ index, size, values }: RimMeasurement, blocks: ReadonlyMap<number, Uint8Array>): boolean {
  const value = blocks.get(index + 1);
  if (value?.length !== size) return false;
  return values.includes(Buffer.from(value.buffer, value.byteOffset, size).toString('hex'));
}

function combinations(slots: readonly (readonly TrustedRim[])[]): readonly (readonly TrustedRim[])[] {
  return slots.reduce<readonly (readonly TrustedRim[])[]>(
    (found, slot) => found.flatMap((rims) => slot.map((rim) => [...rims, rim])),
    [[]],
  );
}
