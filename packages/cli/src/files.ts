import { refusal } from '@muster/shared/errors.js';
import { readFileSync } from 'node:fs';

/** Reads a text file. Errors: FILE_UNREADABLE. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw refusal('FILE_UNREADABLE', { message: `${file} cannot be read.`, path: file }, cause);
  }
}
