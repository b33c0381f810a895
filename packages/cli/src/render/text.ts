import type { Reason } from '@muster/shared/gen/muster/v1/reason.js';
import { stripVTControlCharacters, styleText } from 'node:util';

type Style = (text: string) => string;

/** The styles of the program's output; each leaves its text alone when colours are off. */
export interface Styles {
  readonly good: Style;
  readonly bad: Style;
  readonly caution: Style;
  readonly strong: Style;
  readonly faint: Style;
}

/** Makes the styles. */
export function styles(colour: boolean): Styles {
  const style =
    (format: 'green' | 'red' | 'yellow' | 'bold' | 'dim'): Style =>
    (text) =>
      colour ? styleText(format, text, { validateStream: false }) : text;
  return {
    good: style('green'),
    bad: style('red'),
    caution: style('yellow'),
    strong: style('bold'),
    faint: style('dim'),
  };
}

/** Text from elsewhere without control characters, so that it cannot steer the terminal. */
export function plain(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/\p{Cc}/gu, ' ');
}

/** A table with a line of headings; columns are as wide as their widest cell, in plain characters. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  style: Styles,
): string {
  const lines = [headings.map((heading) => style.faint(heading)), ...rows];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => width(line[column] ?? ''))));
  return lines
    .map((line) => line.map((cell, column) => pad(cell, widths[column] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

/** Names and values, one pair a line; pairs without a value are left out. */
export function pairs(entries: readonly (readonly [string, string])[], style: Styles): string {
  const present = entries.filter(([, value]) => value !== '');
  const longest = Math.max(...present.map(([name]) => name.length));
  return present.map(([name, value]) => `${style.faint(name.padEnd(longest))}  ${value}\n`).join('');
}

/** What reasons say: the code and what it is about, the finding unless it is what was just `said`, the remedy. */
export function reasonLines(
  reasons: readonly (Partial<Reason> & Pick<Reason, 'code' | 'message' | 'remedy'>)[],
  style: Styles,
  said = '',
): string {
  return reasons
    .flatMap(({ code, message, remedy, participant, namespace, path }) => {
      const about = [participant, namespace, path].filter((part) => part !== undefined && part !== '');
      return [
        `  ${style.strong(plain(code))}${about.length === 0 ? '' : `  ${plain(about.join(' · '))}`}`,
        ...(message === said ? [] : [`    ${plain(message)}`]),
        `    ${style.faint(plain(remedy))}`,
      ];
    })
    .map((line) => `${line}\n`)
    .join('');
}

/** A time span in its largest whole unit, as in `5m`; always positive. */
export function span(ms: number): string {
  const seconds = Math.floor(Math.abs(ms) / 1000);
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

/** A time for people, to the second, in UTC; empty for none. */
export function time(date: Date | undefined): string {
  return date === undefined ? '' : `${date.toISOString().slice(0, 19)}Z`;
}

function pad(cell: string, columns: number): string {
  return cell + ' '.repeat(columns - width(cell));
}

function width(cell: string): number {
  return stripVTControlCharacters(cell).length;
}
