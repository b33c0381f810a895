import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import type { Fault } from './judge.js';
import type { Input } from './target.js';

/** An input that is a finding, as it is kept in a file: JSON, bytes in base64. */
export interface Finding {
  readonly target: string;
  readonly fault: Fault;
  readonly input: Input;
}

interface FindingFile {
  readonly target: string;
  readonly fault: Fault;
  readonly input: readonly { readonly kind: string; readonly base64: string }[];
}

/** Writes a finding into a folder; returns the file. */
export function writeFinding(folder: string, { target, fault, input }: Finding): string {
  const parts = input.map(({ kind, bytes }) => ({ kind, base64: Buffer.from(bytes).toString('base64') }));
  const text = JSON.stringify({ target, fault, input: parts } satisfies FindingFile, undefined, 2);
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 12);
  const file = join(folder, `${target}-${fault.kind}-${digest}.json`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, `${text}\n`);
  return file;
}

/** Reads a finding. */
export function readFinding(file: string): Finding {
  const { input, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as FindingFile;
  return {
    ...rest,
    input: input.map(({ kind, base64 }) => ({ kind, bytes: Buffer.from(base64, 'base64') })),
  };
}

/** The files of a folder of findings. */
export function findingsIn(folder: string): readonly string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(folder, name));
}
