import { maxBundleBytes } from '@muster/shared/endorsements/bundle/bundle.js';
import { refusal } from '@muster/shared/errors.js';
import { readFileSync, statSync, writeFileSync } from 'node:fs';

/** Reads a bundle's file. Errors: FILE_UNREADABLE, ENDORSEMENT_BUNDLE_INVALID for one that is too large. */
export function readBundleFile(file: string): Uint8Array {
  try {
    if (statSync(file).size <= maxBundleBytes) return Uint8Array.from(readFileSync(file));
  } catch (cause) {
    throw refusal('FILE_UNREADABLE', { message: `${file} cannot be read.`, path: file }, cause);
  }
  const message = `${file} is larger than ${maxBundleBytes} bytes.`;
  throw refusal('ENDORSEMENT_BUNDLE_INVALID', { message, path: file });
}

/** Writes a file that is not there yet. Errors: FILE_EXISTS, FILE_UNREADABLE. */
export function writeNewFile(file: string, content: string): void {
  try {
    writeFileSync(file, content, { flag: 'wx' });
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const message = isThere ? `${file} is there already.` : `${file} cannot be written.`;
    throw refusal(isThere ? 'FILE_EXISTS' : 'FILE_UNREADABLE', { message, path: file }, cause);
  }
}
