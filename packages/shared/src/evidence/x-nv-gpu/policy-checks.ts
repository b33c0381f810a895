import { reason, type Reason } from '../../reasons.js';
import type { ProvenDevice } from './device-chain.js';
import type { DriverSettings } from './document.js';
import type { ReportFields } from './fields.js';
import type { NvPolicy, NvPolicyField } from './policy.js';
import { topologyFault, type LinkedDevice } from './topology.js';

/** A policy field that was failed, and why. */
export interface PolicyFailure {
  readonly field: NvPolicyField;
  readonly reason: Reason;
}

/** A device whose report is genuine. */
export interface PolicyDevice {
  readonly device: ProvenDevice;
  readonly fields: ReportFields;
}

/** What a single device fails. */
export function deviceFailures({ device, fields }: PolicyDevice, policy: NvPolicy): readonly PolicyFailure[] {
  const { architecture, chip, id } = device;
  const { allow, deny } = policy.devices;
  const firmware = policy.minimum_firmware[chip];
  const { driverVersion, vbiosVersion } = fields;
  return [
    ...failedIf(!policy.architectures.includes(architecture), 'architectures', () =>
      reason('NV_ARCHITECTURE_NOT_ALLOWED', {
        message: `The device is of the architecture ${architecture}.`,
      }),
    ),
    ...failedIf(policy.chips?.includes(chip) === false, 'chips', () =>
      reason('NV_CHIP_NOT_ALLOWED', { message: `The device is a ${chip}.` }),
    ),
    ...failedIf(deny.includes(id), 'devices', () => reason('NV_DEVICE_DENIED')),
    ...failedIf(allow?.includes(id) === false, 'devices', () => reason('NV_DEVICE_NOT_ALLOWED')),
    ...failedIf(
      architecture !== 'ls10' && isBelow(driverVersion, policy.minimum_driver, 10),
      'minimum_driver',
      () =>
        reason('NV_DRIVER_BELOW_MINIMUM', {
          message: `The driver is ${driverVersion ?? 'unnamed'}, below ${policy.minimum_driver}.`,
        }),
    ),
    ...failedIf(isBelow(vbiosVersion, firmware, 16), 'minimum_firmware', () =>
      reason('NV_FIRMWARE_BELOW_MINIMUM', {
        message: `The firmware is ${vbiosVersion ?? 'unnamed'}, below ${firmware}.`,
      }),
    ),
    ...failedIf(architecture !== 'ls10' && !isPcieAsWanted(fields, policy), 'protected_pcie', () =>
      reason('NV_PROTECTED_PCIE'),
    ),
  ];
}

/** What the machine as a whole fails. */
export function machineFailures(
  devices: readonly LinkedDevice[],
  settings: DriverSettings | undefined,
  policy: NvPolicy,
): readonly PolicyFailure[] {
  const switches = devices.filter(({ isSwitch }) => isSwitch).length;
  const topology = policy.topology ? topologyFault(devices) : undefined;
  return [
    ...countFailures('gpus', devices.length - switches, policy.gpus),
    ...countFailures('switches', switches, policy.switches),
    ...(topology === undefined ? [] : [{ field: 'topology', reason: topology } as const]),
    ...failedIf(settings?.devtools_mode === true && !policy.devtools, 'devtools', () =>
      reason('NV_DEVTOOLS'),
    ),
  ];
}

function countFailures(
  field: 'gpus' | 'switches',
  found: number,
  { minimum, exactly }: NvPolicy['gpus'],
): readonly PolicyFailure[] {
  const isWanted = found >= (minimum ?? 0) && (exactly === undefined || found === exactly);
  const wanted = exactly === undefined ? `at least ${minimum}` : `exactly ${exactly}`;
  return failedIf(!isWanted, field, () =>
    reason('NV_DEVICE_COUNT', { message: `There are ${found} ${field}; the policy wants ${wanted}.` }),
  );
}

function isPcieAsWanted({ ppcie, feature }: ReportFields, { protected_pcie: wanted }: NvPolicy): boolean {
  const isOn = ppcie === 'on' || feature === 'PPCIE';
  return wanted === 'allowed' || isOn === (wanted === 'required');
}

/** Whether a version is below a minimum, part by part; one that is not named is below any. */
function isBelow(version: string | undefined, minimum: string | undefined, radix: 10 | 16): boolean {
  if (minimum === undefined) return false;
  if (version === undefined) return true;
  const [found, wanted] = [version, minimum].map((text) =>
    text.split('.').map((part) => parseInt(part, radix)),
  );
  for (const [index, part] of (wanted ?? []).entries()) {
    const own = found?.[index] ?? 0;
    if (own !== part) return !(own > part);
  }
  return false;
}

function failedIf(failed: boolean, field: NvPolicyField, why: () => Reason): readonly PolicyFailure[] {
  return failed ? [{ field, reason: why() }] : [];
}
