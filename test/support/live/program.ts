import { spawn } from 'node:child_process';
import { basename, dirname } from 'node:path';

/** How a process ended. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A Node program in a process of its own. */
export interface RunningProgram {
  readonly name: string;
  readonly pid: number;
  /** What it was called with. */
  readonly args: readonly string[];
  /** Everything it has written, standard output and standard error together. */
  readonly output: () => string;
  readonly ended: Promise<ProgramEnd>;
  /** Sends SIGTERM, then SIGKILL if it takes too long. */
  stop(): Promise<ProgramEnd>;
  /** Sends SIGKILL. */
  kill(): Promise<ProgramEnd>;
}

const stopMs = 10_000;

/** Starts a Node program; `env` is added to the little that every program gets. */
export function startProgram(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): RunningProgram {
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
  });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise<ProgramEnd>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  return {
    name: basename(dirname(dirname(file))),
    pid: child.pid ?? 0,
    args,
    output: () => Buffer.concat(chunks).toString('utf8'),
    ended,
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
      const end = await ended;
      clearTimeout(timer);
      return end;
    },
    kill: () => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}

/** Runs a Node program to its end. */
export async function runProgram(
  file: string,
  args: readonly string[],
): Promise<ProgramEnd & { readonly output: string }> {
  const program = startProgram(file, args);
  const end = await program.ended;
  return { ...end, output: program.output() };
}
