import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { writeState } from '../../devices/snp/state.js';
import type { RunningProgram } from './program.js';
import { eventually } from './wait.js';
import { programs } from './workspace.js';

/** The measurement of the image that policies allow, and of another. */
export const measurements = { good: '5a'.repeat(48), drifted: 'd1'.repeat(48) } as const;

/** A simulated SEV-SNP device in a process of its own. */
export interface LiveDevice {
  readonly reportDirectory: string;
  /** Lets the device report another image from now on. */
  drift(): void;
  /** Lets it report the allowed image again. */
  repair(): void;
  /** How it behaves from now on. */
  misbehave(mode: 'hang' | 'block' | 'fail' | 'garbage' | 'forged'): void;
}

/** Starts a device, with a chip of its own, in a folder. */
export async function startDevice(
  folder: string,
  name: string,
  vendor: string,
  launch: (file: string, args: readonly string[]) => RunningProgram,
): Promise<LiveDevice> {
  const chipId = createHash('sha512').update(name).digest('hex');
  const stateFile = join(folder, 'device.json');
  const reportDirectory = join(folder, 'tsm');
  writeState(stateFile, { chipId, measurement: measurements.good });
  const device = launch(programs.snpDevice, [
    '--vendor',
    vendor,
    '--dir',
    reportDirectory,
    '--state',
    stateFile,
  ]);
  await eventually(`the device of ${name}`, () => device.output().includes('ready'));
  return {
    reportDirectory,
    drift: () => writeState(stateFile, { chipId, measurement: measurements.drifted }),
    repair: () => writeState(stateFile, { chipId, measurement: measurements.good }),
    misbehave: (mode) => writeState(stateFile, { chipId, measurement: measurements.good, mode }),
  };
}
