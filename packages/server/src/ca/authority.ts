import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { x509 } from '@muster/shared/pki/x509.js';
import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { publicKeyDer, publicKeyHash, toPem } from '@muster/shared/pki/certificate.js';
import type { Identity } from '@muster/shared/spiffe.js';
import { deleteExpiredCertificates, insertCertificate } from '../store/certificates.js';
import type { Transaction } from '../store/store.js';
import { createFile } from './create-file.js';
import { issueCertificate, issueRoot } from './issue.js';
import { loadOrCreateKey } from './key-file.js';

const rootLifetimeMs = 10 * 365 * 86_400_000;
/** How long an expired certificate stays on record, for its holder to learn that it expired, ms. */
const keptMs = 86_400_000;

/** What a subject gets. */
export interface Certificate {
  /** DER, the leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly notAfter: Date;
}

/** The federation's own CA. */
export interface CertificateAuthority {
  readonly trustDomain: string;
  /** The root certificates, DER. */
  readonly bundle: readonly Uint8Array[];
  /** The same, PEM. */
  readonly bundlePem: string;
  /** SHA-256 over the root's SubjectPublicKeyInfo, as `sha256:<hex>`: what agents pin. */
  readonly hash: string;
  /**
   * Issues a certificate and records it, which is what makes it accepted. The key is SubjectPublicKeyInfo, DER; `hosts`
   * are a server's DNS names and IP addresses.
   */
  issue(
    tx: Transaction,
    subject: Omit<Identity, 'trustDomain'>,
    publicKey: Uint8Array,
    lifetimeMs: number,
    hosts?: readonly string[],
  ): Promise<Certificate>;
}

/**
 * Opens the CA in a data directory; makes it, with a new key, when there is none.
 * Errors: FILE_UNREADABLE, KEY_FILE_EXPOSED, CONFIG_INVALID when it is another trust domain's, STORE_FULL.
 */
export async function openAuthority(
  dataDirectory: string,
  trustDomain: string,
  clock: Clock,
): Promise<CertificateAuthority> {
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const key = await loadOrCreateKey(join(dataDirectory, 'ca-key.pem'));
  const file = join(dataDirectory, 'ca.pem');
  const now = clock.now();
  const notAfter = new Date(now.getTime() + rootLifetimeMs);
  await createFile(file, async () => toPem([await issueRoot(key, trustDomain, now, notAfter)]));
  const root = readRoot(file, key, trustDomain);
  const issuer = { key, certificate: new x509.X509Certificate(Uint8Array.from(root.raw)) };
  const bundle = [new Uint8Array(root.raw)];
  return {
    trustDomain,
    bundle,
    bundlePem: toPem(bundle),
    hash: publicKeyHash(root),
    async issue(tx, { role, name }, publicKey, lifetimeMs, hosts = []) {
      const issuedAt = clock.now();
      const notAfter = wholeSecond(Math.min(issuedAt.getTime() + lifetimeMs, Date.parse(root.validTo)));
      const identity = { trustDomain, role, name };
      const issued = await issueCertificate(issuer, { identity, publicKey, issuedAt, notAfter, hosts });
      await deleteExpiredCertificates(tx, new Date(issuedAt.getTime() - keptMs));
      await insertCertificate(tx, {
        serial: issued.serial,
        role,
        name,
        fingerprint: issued.fingerprint,
        issued_at: issuedAt.getTime(),
        not_after: notAfter.getTime(),
        revoked_at: null,
      });
      return { chain: [issued.der], notAfter };
    },
  };
}

function readRoot(file: string, key: KeyObject, trustDomain: string): X509Certificate {
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

function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000);
}
