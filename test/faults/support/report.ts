import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../support/live/workspace.js';

/** What was seen of one fault. */
export interface FaultRecord {
  readonly fault: string;
  /** How often it was injected. */
  readonly injected: number;
  /** From the loss of the proof, or of the permission, to the last process gone: allowed and seen, ms. */
  readonly boundMs?: number;
  readonly stoppedAfterMs?: number;
  /** What did not hold. */
  readonly violations: readonly string[];
}

/** Where every suite adds its faults as JSON lines. */
export const reportFile = join(root, 'test', 'faults', 'report.json');

/** The faults of one test file, counted. */
export class FaultReport {
  readonly #title: string;
  readonly #records: FaultRecord[] = [];

  constructor(title: string) {
    this.#title = title;
  }

  add(record: FaultRecord): FaultRecord {
    this.#records.push(record);
    return record;
  }

  /** Prints the table, and adds a line for each fault to test/faults/report.json. */
  print(): void {
    const at = new Date().toISOString();
    const lines = this.#records.map((record) => JSON.stringify({ at, suite: this.#title, ...record }));
    appendFileSync(reportFile, lines.map((line) => `${line}\n`).join(''));
    const rows = this.#records.map(({ fault, injected, boundMs, stoppedAfterMs, violations }) => [
      fault,
      String(injected),
      boundMs === undefined ? '' : String(boundMs),
      stoppedAfterMs === undefined ? '' : String(Math.round(stoppedAfterMs)),
      String(violations.length),
    ]);
    const table = [['fault', 'injected', 'bound ms', 'seen ms', 'violations'], ...rows, this.#sums()];
    process.stdout.write(`\n${this.#title}\n${tableText(table)}\n`);
  }

  #sums(): string[] {
    const injected = this.#records.reduce((sum, record) => sum + record.injected, 0);
    const violations = this.#records.reduce((sum, record) => sum + record.violations.length, 0);
    const longest = Math.max(0, ...this.#records.map(({ stoppedAfterMs = 0 }) => stoppedAfterMs));
    return ['together', String(injected), '', String(Math.round(longest)), String(violations)];
  }
}

/** A table for people: the first column to the left, the others to the right. */
export function tableText(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>(
    (sofar, row) => row.map((cell, column) => Math.max(sofar[column] ?? 0, cell.length)),
    [],
  );
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  '),
  );
  return lines.join('\n');
}
