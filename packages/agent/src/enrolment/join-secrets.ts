import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { refusal } from '@muster/shared/errors.js';
import { requireWritableFolder } from '@muster/shared/files.js';

/** The secret that says who may enrol. */
export interface JoinSecret {
  readonly token: string;
  /** True when this agent got it from an earlier enrolment. */
  readonly rejoin: boolean;
}

/** Where an agent keeps the secrets with which it may enrol. */
export class JoinSecrets {
  readonly #directory: string;
  readonly #rejoinFile: string;
  readonly #joinTokenFile: string;

  constructor(stateDirectory: string, joinTokenFile: string) {
    this.#directory = stateDirectory;
    this.#rejoinFile = join(stateDirectory, 'rejoin-token');
    this.#joinTokenFile = joinTokenFile;
  }

  /**
   * The secrets worth trying, in this order. Errors: FILE_UNREADABLE when there is none; FILE_UNWRITABLE when the next one
   * could not be kept, so that no join token is used up in vain.
   */
  read(): readonly [JoinSecret, ...JoinSecret[]] {
    requireWritableFolder(this.#directory, 'state_directory');
    const rejoin = readSecret(this.#rejoinFile);
    const join = readSecret(this.#joinTokenFile);
    const [first, ...rest] = [
      ...(rejoin === undefined ? [] : [{ token: rejoin, rejoin: true }]),
      ...(join === undefined ? [] : [{ token: join, rejoin: false }]),
    ];
    if (first !== undefined) return [first, ...rest];
    const message = `join_token_file: ${this.#joinTokenFile} holds no join token.`;
    throw refusal('FILE_UNREADABLE', { message, path: 'join_token_file' });
  }

  /** Replaces the rejoin token: at every moment the file holds the old one or the new one. */
  store(token: string): void {
    requireWritableFolder(this.#directory, 'state_directory');
    const temporary = `${this.#rejoinFile}.new`;
    rmSync(temporary, { force: true });
    const file = openSync(temporary, 'wx', 0o600);
    try {
      writeSync(file, token);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.#rejoinFile);
  }
}

/** Reads a secret; undefined where the file does not exist, may not be read or is empty. */
function readSecret(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'utf8').trim();
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}
