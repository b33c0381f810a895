import { reason, type Reason } from '../../reasons.js';
import type { ReportFields } from './fields.js';

/** A device whose report is genuine, and what it says of its neighbours. */
export interface LinkedDevice {
  /** As in the result, such as `SWITCH-0`. */
  readonly name: string;
  readonly isSwitch: boolean;
  readonly fields: Pick<ReportFields, 'pdis' | 'gpuPdis'>;
}

/**
 * Whether GPUs and switches are wired to each other and to nothing else: every GPU is linked to exactly the switches that
 * are there, and all switches to the same GPUs, as many as are there. A GPU does not say who it is itself. Nothing is
 * compared where there are only GPUs or only switches. Returns NV_TOPOLOGY with the first device at odds, else undefined.
 */
export function topologyFault(devices: readonly LinkedDevice[]): Reason | undefined {
  const switches = devices.filter(({ isSwitch }) => isSwitch);
  const gpus = devices.filter(({ isSwitch }) => !isSwitch);
  const [first] = switches;
  if (first === undefined || gpus.length === 0) return undefined;

  const own = switches.map(({ fields }) => fields.pdis);
  const unnamed = switches.find(({ fields }, index) => {
    const [pdi, ...more] = fields.pdis;
    return pdi === undefined || more.length > 0 || own.slice(0, index).flat().includes(pdi);
  });
  if (unnamed !== undefined) return fault(unnamed, 'does not have an identifier of its own');
  const stray = gpus.find(({ fields }) => !isSame(fields.pdis.map(reversed), own.flat()));
  if (stray !== undefined) return fault(stray, 'is not linked to exactly the switches that are there');
  const other = switches.find(
    ({ fields }) => fields.gpuPdis.length !== gpus.length || !isSame(fields.gpuPdis, first.fields.gpuPdis),
  );
  return other && fault(other, `is not linked to the same ${gpus.length} GPUs as the others`);
}

function fault({ name }: LinkedDevice, what: string): Reason {
  return reason('NV_TOPOLOGY', { message: `${name} ${what}.`, path: name });
}

/** Whether two lists without repetitions have the same members. */
function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((member) => other.includes(member));
}

/** A GPU gives the bytes of a switch's identifier in reverse. */
function reversed(hex: string): string {
  return (hex.match(/../g) ?? []).toReversed().join('');
}
