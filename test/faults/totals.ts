import { existsSync, readFileSync } from 'node:fs';
import { reportFile, tableText, type FaultRecord } from './support/report.js';

/** Prints one table of all suites that have added their faults to the report. */
type Line = FaultRecord & { readonly suite: string };

const lines = existsSync(reportFile)
  ? readFileSync(reportFile, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line)
  : [];

const timed = ({ boundMs, stoppedAfterMs }: Line): boolean =>
  boundMs !== undefined && stoppedAfterMs !== undefined;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Faults, injections, the longest time seen and the most of a bound that was used, and violations. */
function totals(name: string, records: readonly Line[]): readonly string[] {
  const measured = records.filter(timed);
  const longest = Math.max(0, ...measured.map(({ stoppedAfterMs = 0 }) => stoppedAfterMs));
  const used = Math.max(
    0,
    ...measured.map(({ boundMs = 1, stoppedAfterMs = 0 }) => stoppedAfterMs / boundMs),
  );
  return [
    name,
    String(records.length),
    String(sum(records.map(({ injected }) => injected))),
    measured.length === 0 ? '' : String(Math.round(longest)),
    measured.length === 0 ? '' : `${Math.round(100 * used)} %`,
    String(sum(records.map(({ violations }) => violations.length))),
  ];
}

const suites = [...new Set(lines.map(({ suite }) => suite))];
const rows = [
  ['suite', 'faults', 'injected', 'longest ms', 'of its bound', 'violations'],
  ...suites.map((suite) =>
    totals(
      suite,
      lines.filter((line) => line.suite === suite),
    ),
  ),
  totals('together', lines),
];
process.stdout.write(`\nAll faults, from the loss of a proof to the last process gone\n${tableText(rows)}\n`);
