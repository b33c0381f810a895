import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { publicKeyDer, publicKeyHash, toPem } from '@muster/shared/pki/certificate.js';
import { x509 } from '@muster/shared/pki/x509.js';
import { createFile } from './create-file.js';
import { issueRoot, type Issuer } from './issue.js';
import { loadKey, loadOrCreateKey } from './key-file.js';

const lifetimeMs = 10 * 365 * 86_400_000;

/** One CA of the federation. */
export interface Root extends Issuer {
  readonly number: number;
  /** The certificate, DER. */
  readonly der: Uint8Array;
  /** SHA-256 over its SubjectPublicKeyInfo, as `sha256:<hex>`. */
  readonly hash: string;
  readonly notAfter: Date;
}

/**
 * Makes a CA with a new key in the data directory, unless it is there already.
 * Errors: those of {@link openRoot}; STORE_FULL, STORE_UNAVAILABLE.
 */
export async function createRoot(
  dataDirectory: string,
  number: number,
  trustDomain: string,
  clock: Clock,
): Promise<Root> {
  const files = filesOf(dataDirectory, number);
  const key = await loadOrCreateKey(files.key);
  const now = clock.now();
  const notAfter = new Date(now.getTime() + lifetimeMs);
  await createFile(files.certificate, async () => toPem([await issueRoot(key, trustDomain, now, notAfter)]));
  return openRoot(dataDirectory, number, trustDomain);
}

/**
 * Opens a CA of the data directory by its number.
 * Errors: FILE_UNREADABLE, KEY_FILE_EXPOSED, CONFIG_INVALID when it is another trust domain's.
 */
export function openRoot(dataDirectory: string, number: number, trustDomain: string): Root {
  const files = filesOf(dataDirectory, number);
  const key = loadKey(files.key);
  const certificate = read(files.certificate, key, trustDomain);
  return {
    number,
    key,
    certificate: new x509.X509Certificate(Uint8Array.from(certificate.raw)),
    der: new Uint8Array(certificate.raw),
    hash: publicKeyHash(certificate),
    notAfter: new Date(certificate.validTo),
  };
}

/** Destroys the key of a CA that issues nothing any more; its certificate stays, for the record. */
export function destroyRootKey(dataDirectory: string, number: number): void {
  rmSync(filesOf(dataDirectory, number).key, { force: true });
}

function filesOf(
  dataDirectory: string,
  number: number,
): { readonly key: string; readonly certificate: string } {
  const stem = number === 1 ? 'ca' : `ca-${number}`;
  return { key: join(dataDirectory, `${stem}-key.pem`), certificate: join(dataDirectory, `${stem}.pem`) };
}

function read(file: string, key: KeyObject, trustDomain: string): X509Certificate {
  let root: X509Certificate;
  try {
    root = new X509Certificate(readFileSync(file));
  } catch (cause) {
    throw refusal('FILE_UNREADABLE', { message: `${file} holds no certificate.`, path: file }, cause);
  }
  if (!Buffer.from(publicKeyDer(root.publicKey)).equals(publicKeyDer(createPublicKey(key)))) {
    throw refusal('FILE_UNREADABLE', {
      message: `${file} is not the certificate of the CA's key.`,
      path: file,
    });
  }
  if (root.subjectAltName !== `URI:spiffe://${trustDomain}`) {
    const message = `The CA of the data directory is not that of the trust domain ${trustDomain}.`;
    throw refusal('CONFIG_INVALID', { message, path: 'trust_domain' });
  }
  return root;
}
