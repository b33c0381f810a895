import { maxBundleBytes } from '@muster/shared/endorsements/bundle/bundle.js';
import { refusal } from '@muster/shared/errors.js';
import { fileProblem } from '@muster/shared/files.js';
import { readFileSync, statSync } from 'node:fs';

/** Reads a bundle's file. Errors: FILE_UNREADABLE, ENDORSEMENT_BUNDLE_INVALID for one that is too large. */
export function readBundleFile(file: string): Uint8Array {
  try {
    if (statSync(file).size <= maxBundleBytes) return Uint8Array.from(readFileSync(file));
  } catch (cause) {
    throw refusal(
      'FILE_UNREADABLE',
      { message: `${file} cannot be read: ${fileProblem(cause)}.`, path: file },
      cause,
    );
  }
  const message = `${file} is larger than ${maxBundleBytes} bytes.`;
  throw refusal('ENDORSEMENT_BUNDLE_INVALID', { message, path: file });
}
