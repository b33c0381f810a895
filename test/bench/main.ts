// `make bench`: takes every measurement, writes results/<time>.jsonl and prints the table.
// QUICK=1 is rougher and takes two minutes; ONLY=<case>,<case> takes some; a whole run renews docs/benchmarks.md.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { root } from '../support/live/workspace.js';
import { admission } from './cases/admission.js';
import type { Case } from './cases/case.js';
import { fanOut } from './cases/fan-out.js';
import { heartbeats } from './cases/heartbeats.js';
import { processes } from './cases/processes.js';
import { refreshes } from './cases/refreshes.js';
import { comeBack } from './cases/return.js';
import { verification } from './cases/verification.js';
import { createBenchFederation } from './federation.js';
import type { Figure } from './measure.js';
import { table } from './table.js';

const cases: Readonly<Record<string, Case>> = {
  heartbeats,
  refreshes,
  admission,
  return: comeBack,
  processes,
  'fan-out': fanOut,
  verification,
};
const marks = ['<!-- table -->', '<!-- end of table -->'] as const;

const isOn = (name: string): boolean => (process.env[name] ?? '') !== '';
const quick = isOn('QUICK');
const chosen = isOn('ONLY') ? (process.env['ONLY'] ?? '').split(',') : Object.keys(cases);
const whole = !quick && !isOn('ONLY');
const largestFleet = 5_000;
const quickFleet = 300;

const began = new Date();
const results = join(root, 'test', 'bench', 'results');
mkdirSync(results, { recursive: true });
const file = join(results, `${began.toISOString().replaceAll(':', '-')}.jsonl`);
const onlyFew = quick || (isOn('ONLY') && !chosen.includes('fan-out'));
const federation = await createBenchFederation(quick ? quickFleet : onlyFew ? 1_000 : largestFleet);
const figures: Figure[] = [];
try {
  for (const name of chosen) {
    const measure = cases[name];
    if (measure === undefined)
      throw new Error(`no case is called ${name}; there are ${Object.keys(cases).join(', ')}`);
    process.stderr.write(`${name} ...\n`);
    for (const figure of await measure({ federation, quick })) {
      figures.push(figure);
      const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length };
      writeFileSync(file, `${JSON.stringify({ at: began, case: name, quick, machine, ...figure })}\n`, {
        flag: 'a',
      });
    }
  }
} finally {
  federation.close();
}
process.stdout.write(`${table(figures)}\n`);
if (whole) await renewPage();
// Connections that linger do not matter any more.
process.exit(0);

/** Puts the table into docs/benchmarks.md. */
async function renewPage(): Promise<void> {
  const page = join(root, 'docs', 'benchmarks.md');
  const text = readFileSync(page, 'utf8');
  const [start, end] = marks.map((mark) => text.indexOf(mark));
  if (start === undefined || end === undefined || start < 0 || end < start)
    throw new Error(`${page} has no marks`);
  const stamp = `${began.toISOString().slice(0, 10)}, Node ${process.version}, ${cpus().length} cores of ${cpus()[0]?.model ?? 'unknown'}:`;
  const content = `${marks[0]}\n\n${stamp}\n\n${table(figures)}\n\n`;
  const renewed = text.slice(0, start) + content + text.slice(end);
  writeFileSync(page, await format(renewed, { ...(await resolveConfig(page)), filepath: page }));
}
