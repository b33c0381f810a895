import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { createFile } from './create-file.js';

/** A new ECDSA P-256 key. */
export function createKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** A private key as PEM (PKCS #8). */
export function keyPem(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/**
 * The ECDSA P-256 key in a file that only its owner may read; made when there is none.
 * Errors: KEY_FILE_EXPOSED, FILE_UNREADABLE, STORE_FULL, STORE_UNAVAILABLE.
 */
export async function loadOrCreateKey(file: string): Promise<KeyObject> {
  await createFile(file, () => keyPem(createKey()));
  return loadKey(file);
}

/** The ECDSA P-256 key in a file that only its owner may read. Errors: KEY_FILE_EXPOSED, FILE_UNREADABLE. */
export function loadKey(file: string): KeyObject {
  try {
    if ((statSync(file).mode & 0o077) !== 0) {
      throw refusal('KEY_FILE_EXPOSED', { message: `Others than its owner can use ${file}.`, path: file });
    }
    return createPrivateKey(readFileSync(file));
  } catch (cause) {
    if (cause instanceof MusterError) throw cause;
    throw refusal('FILE_UNREADABLE', { message: `${file} holds no private key.`, path: file }, cause);
  }
}
