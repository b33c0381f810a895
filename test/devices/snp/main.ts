// A simulated SEV-SNP device.
//   main.js generate --vendor DIR                           makes the vendor that all devices of a federation share
//   main.js --vendor DIR --dir DIR --state FILE             serves a report directory until SIGTERM
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { SimulatedChip } from './chip.js';
import { serveReportDirectory } from './report-directory.js';
import { readState } from './state.js';
import { createVendor, loadVendor } from './vendor.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { vendor: { type: 'string' }, dir: { type: 'string' }, state: { type: 'string' } },
});
const required = (name: keyof typeof values): string => {
  const value = values[name];
  if (value === undefined) throw new Error(`--${name} is missing`);
  return value;
};

const vendorDirectory = required('vendor');
if (positionals[0] === 'generate') {
  const known = existsSync(vendorDirectory);
  const { rootFingerprint } = known ? loadVendor(vendorDirectory) : createVendor(vendorDirectory);
  console.log(rootFingerprint);
} else {
  const stateFile = required('state');
  readState(stateFile);
  const chip = new SimulatedChip(loadVendor(vendorDirectory));
  const served = serveReportDirectory({ path: required('dir'), stateFile, chip });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => served.close());
  console.log('ready');
}
