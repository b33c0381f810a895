import { reason, type Reason } from '../../reasons.js';
import type { DeviceFindings } from './device.js';
import type { ProvenDevice } from './device-chain.js';
import { reportFields } from './fields.js';
import type { SpdmReport } from './report.js';
import { demandKey } from './rim-trust.js';
import type { LinkedDevice } from './topology.js';

/**
 * What manifests the devices of a machine name, by {@link demandKey}: one that is for another device says nothing about
 * this one.
 */
export function demandedManifests(reports: readonly (SpdmReport | Reason)[]): ReadonlySet<string> {
  const keys = reports.flatMap((report) => {
    if ('code' in report) return [];
    const { driverVersion = '', vbiosVersion = '' } = reportFields(report);
    return [
      demandKey({ kind: 'driver', version: driverVersion }),
      demandKey({ kind: 'firmware', version: vbiosVersion }),
    ];
  });
  return new Set(keys);
}

/**
 * A device counts once, however often its evidence is there: by its own certificate, by that one's key, and by the key of
 * its report. One reason for each repetition, with the second device as its path.
 */
export function repeatedDevices(findings: readonly DeviceFindings[]): readonly Reason[] {
  const names = deviceNames(findings);
  const seen = new Map<string, string>();
  return findings.flatMap(({ device }, index) => {
    const name = names[index] ?? '';
    const keys = device === undefined ? [] : identitiesOf(device);
    const first = keys.map((key) => seen.get(key)).find((known) => known !== undefined);
    for (const key of keys) seen.set(key, first ?? name);
    if (first === undefined) return [];
    const message = `${name} is the same device as ${first}.`;
    return [reason('NV_DEVICE_REPEATED', { message, path: name })];
  });
}

/** The devices that are proven, with what they say of each other. */
export function linkedDevices(findings: readonly DeviceFindings[]): readonly LinkedDevice[] {
  const names = deviceNames(findings);
  return findings.flatMap(({ device, fields }, index) =>
    device === undefined || fields === undefined
      ? []
      : [{ name: names[index] ?? '', isSwitch: device.architecture === 'ls10', fields }],
  );
}

function identitiesOf({ id, chain: [leaf, own] }: ProvenDevice): readonly string[] {
  return [`id ${id}`, `device ${own.fingerprint}`, `report ${leaf.fingerprint}`];
}

/** `GPU-0`, `GPU-1`, `SWITCH-0`; a device that is not proven is called a GPU. */
export function deviceNames(findings: readonly DeviceFindings[]): readonly string[] {
  const seen = { GPU: 0, SWITCH: 0 };
  return findings.map(({ device }) => {
    const kind = device?.architecture === 'ls10' ? 'SWITCH' : 'GPU';
    seen[kind] += 1;
    return `${kind}-${seen[kind] - 1}`;
  });
}
