import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
  type FSWatcher,
} from 'node:fs';
import { join } from 'node:path';
import type { SimulatedChip } from './chip.js';
import { readState } from './state.js';

/** What serves a report directory. */
export interface ReportDirectoryOptions {
  /** Where clients make their directories; made where it does not exist. */
  readonly path: string;
  readonly stateFile: string;
  readonly chip: Pick<SimulatedChip, 'answer'>;
  /** The driver that it passes for. */
  readonly provider?: 'sev_guest' | 'tdx_guest';
}

/** A report directory that is being served. */
export interface ReportDirectory {
  /** Stops serving and removes every client's directory. */
  close(): void;
}

/** Events of the file system can be lost; so often everything is looked at, ms. */
const sweepMs = 500;
/** An ordinary file system refuses to remove a directory with files in it, as the kernel's does not: so old ones go, ms. */
const keepMs = 30_000;
const requestBytes = 64;

/**
 * Serves the file interface of configfs-tsm on an ordinary file system: whoever makes a directory finds its attributes
 * in it a moment later, and whoever writes 64 bytes to `inblob` finds the report in `outblob`.
 */
export function serveReportDirectory(options: ReportDirectoryOptions): ReportDirectory {
  const { path } = options;
  mkdirSync(path, { recursive: true });
  const entries = new Map<string, Entry>();
  const look = (): void => {
    for (const name of readdirSync(path)) {
      try {
        const entry = entries.get(name) ?? new Entry(join(path, name), options, look);
        entries.set(name, entry);
        if (entry.tend()) continue;
        entry.remove();
        entries.delete(name);
      } catch (error) {
        // The client was quicker: it has removed its directory already.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  };
  const watcher = watch(path, look);
  const sweep = setInterval(look, sweepMs);
  look();
  return {
    close: () => {
      watcher.close();
      clearInterval(sweep);
      for (const entry of entries.values()) entry.remove();
    },
  };
}

/** One client's directory. */
class Entry {
  readonly #path: string;
  readonly #stateFile: string;
  readonly #chip: ReportDirectoryOptions['chip'];
  readonly #watcher: FSWatcher;
  readonly #madeAt = performance.now();
  /** When each writable attribute was last written by a client, to tell writes from other events. */
  readonly #writtenAt = new Map<string, bigint>();
  #generation = 0;

  constructor(path: string, options: Omit<ReportDirectoryOptions, 'path'>, onChange: () => void) {
    const { stateFile, chip, provider = 'sev_guest' } = options;
    this.#path = path;
    this.#stateFile = stateFile;
    this.#chip = chip;
    this.#write('provider', `${provider}\n`);
    this.#write('generation', '0\n');
    this.#write('privlevel_floor', '0\n');
    for (const name of ['privlevel', 'inblob']) this.#write(name, '');
    this.#watcher = watch(path, onChange);
  }

  /** Answers what was asked since the last look. False when the directory has served its time. */
  tend(): boolean {
    if (performance.now() - this.#madeAt > keepMs) return false;
    if (this.#wasWritten('privlevel')) this.#generation += 1;
    if (this.#wasWritten('inblob')) {
      this.#generation += 1;
      this.#answer();
    }
    return true;
  }

  remove(): void {
    this.#watcher.close();
    rmSync(this.#path, { recursive: true, force: true });
  }

  #answer(): void {
    const state = readState(this.#stateFile);
    if (state.mode === 'hang') return;
    if (state.mode === 'block') {
      // Opening a FIFO that nobody writes to does not return.
      execFileSync('mkfifo', [join(this.#path, 'outblob')]);
      return;
    }
    if (state.mode === 'fail') {
      // Reading a directory fails, for every user.
      mkdirSync(join(this.#path, 'outblob'), { recursive: true });
      return;
    }
    const request = readFileSync(join(this.#path, 'inblob')).subarray(0, requestBytes);
    const { report, table } = this.#chip.answer(state, request);
    this.#write('auxblob', table);
    this.#write('generation', `${this.#generation}\n`);
    this.#write('outblob', report);
  }

  /** Whether a client has written an attribute, whole, since the last look. */
  #wasWritten(name: string): boolean {
    const modified = this.#modified(name);
    const { size } = statSync(join(this.#path, name));
    const whole = name === 'inblob' ? size >= requestBytes : size > 0;
    if (!whole || this.#writtenAt.get(name) === modified) return false;
    this.#writtenAt.set(name, modified);
    return true;
  }

  #modified(name: string): bigint {
    return statSync(join(this.#path, name), { bigint: true }).mtimeNs;
  }

  /** Writes an attribute in one step, so that a client never reads half of it. */
  #write(name: string, content: string | Uint8Array): void {
    const file = join(this.#path, name);
    writeFileSync(`${file}.new`, content);
    renameSync(`${file}.new`, file);
  }
}
