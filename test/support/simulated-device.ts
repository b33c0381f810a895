import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SimulatedChip } from '../devices/snp/chip.js';
import { serveReportDirectory } from '../devices/snp/report-directory.js';
import { readState, writeState, type DeviceState, type DeviceStateInput } from '../devices/snp/state.js';
import type { SimulatedVendor } from '../devices/snp/vendor.js';

/** A simulated SEV-SNP device that runs. */
export interface SimulatedDevice {
  /** What an attester of x-snp has as `report_directory`. */
  readonly reportDirectory: string;
  readonly chipId: string;
  /** The state as it is. */
  state(): DeviceState;
  /** Changes the state; the next report shows it. */
  change(state: Partial<DeviceStateInput>): void;
  stop(): Promise<void>;
}

/** Which device to start, and how. */
export interface SimulatedDeviceOptions {
  /** A directory of its own. */
  readonly directory: string;
  readonly vendor: SimulatedVendor;
  readonly state?: Partial<DeviceStateInput>;
  /** Runs as a process of its own, as in the demo, instead of inside the caller's. Needs a built test/dist. */
  readonly process?: boolean;
}

/** Starts a device. Its chip id follows from its directory. */
export async function startSimulatedDevice(options: SimulatedDeviceOptions): Promise<SimulatedDevice> {
  const { directory, vendor } = options;
  const chipId = createHash('sha512').update(directory).digest('hex');
  const [reportDirectory, stateFile] = [join(directory, 'report'), join(directory, 'state.json')];
  mkdirSync(directory, { recursive: true });
  writeState(stateFile, { chipId, ...options.state });
  const start = options.process === true ? startProcess : startWithin;
  const stop = await start(vendor, reportDirectory, stateFile);
  return {
    reportDirectory,
    chipId,
    state: () => readState(stateFile),
    change: (change) => writeState(stateFile, { ...readState(stateFile), ...change }),
    stop,
  };
}

type Stop = () => Promise<void>;

async function startWithin(vendor: SimulatedVendor, path: string, stateFile: string): Promise<Stop> {
  const served = serveReportDirectory({ path, stateFile, chip: new SimulatedChip(vendor) });
  return async () => served.close();
}

async function startProcess(vendor: SimulatedVendor, path: string, stateFile: string): Promise<Stop> {
  const built = import.meta.url.includes('/test/dist/') ? '..' : '../dist';
  const main = fileURLToPath(new URL(`${built}/devices/snp/main.js`, import.meta.url));
  const args = [main, '--vendor', vendor.directory, '--dir', path, '--state', stateFile];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const ready = await Promise.race([once(child.stdout, 'data'), exit.then(() => undefined)]);
  if (ready === undefined) throw new Error('the simulated device did not start');
  return async () => {
    child.kill('SIGTERM');
    await exit;
  };
}
