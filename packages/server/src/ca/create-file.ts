import { closeSync, existsSync, fsyncSync, linkSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { storeError } from '../store/errors.js';

/**
 * Creates a file that only its owner may read, unless it exists. It appears whole or not at all, and of two processes
 * that create it at once, the first one's content stays. Errors: STORE_FULL, STORE_UNAVAILABLE.
 */
export async function createFile(file: string, content: () => string | Promise<string>): Promise<void> {
  if (existsSync(file)) return;
  const text = await content();
  const draft = `${file}.${randomUUID()}`;
  try {
    const handle = openSync(draft, 'wx', 0o600);
    try {
      writeSync(handle, text);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw storeError(error);
  } finally {
    if (existsSync(draft)) unlinkSync(draft);
  }
}
