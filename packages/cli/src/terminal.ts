import { systemClock, type Clock } from '@muster/shared/clock.js';
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';

/** What the program uses of the process it runs in. Tests pass their own. */
export interface Terminal {
  /** Writes to standard output. */
  out(text: string): void;
  /** Writes to standard error. */
  err(text: string): void;
  /** Reads all of standard input. */
  input(): Promise<string>;
  /** Asks the person at the terminal; undefined when there is none. */
  ask(question: string): Promise<string | undefined>;
  /** Decides the exit status of the program. */
  exit(code: ExitCode): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether standard output shows colours. */
  readonly colour: boolean;
  readonly clock: Clock;
}

/** The exit statuses of `muster`; docs/cli.md explains them. */
export const exitCodes = {
  done: 0,
  refused: 1,
  unusable: 2,
  warning: 3,
  unreachable: 4,
  notAllowed: 5,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The terminal of this process. Colours need a TTY and no NO_COLOR (no-color.org). */
export function processTerminal(): Terminal {
  return {
    out: (line) => void process.stdout.write(line),
    err: (line) => void process.stderr.write(line),
    input: () => text(process.stdin),
    ask: async (question) => {
      if (!process.stdin.isTTY) return undefined;
      const reader = createInterface({ input: process.stdin, output: process.stderr });
      try {
        return await reader.question(question);
      } finally {
        reader.close();
      }
    },
    exit: (code) => void (process.exitCode = code),
    env: process.env,
    colour: process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '',
    clock: systemClock,
  };
}
