import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { Input } from './target.js';

/** The number of inputs so far and the length of the last one, before that input. */
const header = 16;

/** The input that a process is busy with, in a file that its parent can read after a hang or a crash. */
export class BlackBox {
  readonly file: string;
  readonly #descriptor: number;
  #turn = 0;

  constructor(file = join(mkdtempSync(join(tmpdir(), 'muster-fuzz-')), 'input')) {
    this.file = file;
    this.#descriptor = openSync(file, 'a+');
    closeSync(this.#descriptor);
    this.#descriptor = openSync(file, 'r+');
  }

  note(input: Input): void {
    const bytes = serialize(input);
    const head = Buffer.alloc(header);
    this.#turn += 1;
    head.writeDoubleLE(this.#turn);
    head.writeDoubleLE(bytes.length, 8);
    writeSync(this.#descriptor, Buffer.concat([head, bytes]), 0, header + bytes.length, 0);
  }

  /** How many inputs were noted so far. */
  get turn(): number {
    const bytes = readFileSync(this.file);
    return bytes.length < header ? 0 : bytes.readDoubleLE();
  }

  /** What was noted last; for when nobody writes any more. */
  read(): Input {
    const bytes = readFileSync(this.file);
    if (bytes.length < header) return [];
    return deserialize(bytes.subarray(header, header + bytes.readDoubleLE(8))) as Input;
  }

  close(): void {
    closeSync(this.#descriptor);
    rmSync(dirname(this.file), { recursive: true });
  }
}
