import { refusal } from '@muster/shared/errors.js';
import { fileProblem } from '@muster/shared/files.js';
import { readFileSync, writeFileSync } from 'node:fs';

/** Reads a text file. Errors: FILE_UNREADABLE. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw refusal(
      'FILE_UNREADABLE',
      { message: `${file} cannot be read: ${fileProblem(cause)}.`, path: file },
      cause,
    );
  }
}

/** Writes a file that is not there yet. Errors: FILE_EXISTS, FILE_UNWRITABLE. */
export function writeNewFile(file: string, content: string): void {
  try {
    writeFileSync(file, content, { flag: 'wx' });
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const message = isThere
      ? `${file} is there already.`
      : `${file} cannot be written: ${fileProblem(cause)}.`;
    throw refusal(isThere ? 'FILE_EXISTS' : 'FILE_UNWRITABLE', { message, path: file }, cause);
  }
}
