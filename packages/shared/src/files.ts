import { accessSync, constants, mkdirSync, opendirSync } from 'node:fs';
import { refusal } from './errors.js';

/** What the operating system's codes mean (errno(3)). */
const problems: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'this user has no permission',
  EPERM: 'this user has no permission',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is no directory',
  EEXIST: 'it is no directory',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
};

/** Says in words why the file system refused an operation; what it says itself where there are none. */
export function fileProblem(cause: unknown): string {
  const { code = '', message } = cause as NodeJS.ErrnoException;
  return problems[code] ?? message;
}

/**
 * Makes a folder for its owner only, unless it is there, and checks that this process may write in it. `path` says where
 * the folder's name comes from, such as `state_directory`. Errors: FILE_UNWRITABLE.
 */
export function requireWritableFolder(folder: string, path: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK);
  } catch (cause) {
    const message = `${path}: ${folder} cannot be written: ${fileProblem(cause)}.`;
    throw refusal('FILE_UNWRITABLE', { message, path }, cause);
  }
}

/**
 * Checks that a folder is there and can be read, so that a mistyped name is not taken for a folder without files. `path`
 * is as in {@link requireWritableFolder}. Errors: FILE_UNREADABLE.
 */
export function requireFolder(folder: string, path: string): void {
  try {
    opendirSync(folder).closeSync();
  } catch (cause) {
    const message = `${path}: ${folder} cannot be read: ${fileProblem(cause)}.`;
    throw refusal('FILE_UNREADABLE', { message, path }, cause);
  }
}
