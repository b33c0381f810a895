import { run } from '@muster/cli/program.js';
import type { ExitCode } from '@muster/cli/terminal.js';
import type { Clock } from '@muster/shared/clock.js';
import { FakeClock } from './fake-clock.js';

/** What a run of `muster` left behind. */
export interface CliResult {
  readonly out: string;
  readonly err: string;
  readonly code: number;
  /** Standard output as JSON. */
  readonly json: () => Record<string, unknown>;
}

/** What a run of `muster` finds around it. */
export interface CliSurroundings {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** What the person at the terminal answers; undefined when nobody is there. */
  readonly answer?: string;
  readonly colour?: boolean;
  readonly clock?: Clock;
}

/** Runs `muster` inside this process. */
export async function muster(args: readonly string[], around: CliSurroundings = {}): Promise<CliResult> {
  let out = '';
  let err = '';
  let code: ExitCode = 0;
  await run(args, {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    input: () => Promise.resolve(around.input ?? ''),
    ask: () => Promise.resolve(around.answer),
    exit: (status) => void (code = status),
    env: around.env ?? {},
    colour: around.colour ?? false,
    clock: around.clock ?? new FakeClock(),
  });
  return { out, err, code, json: () => JSON.parse(out) as Record<string, unknown> };
}
