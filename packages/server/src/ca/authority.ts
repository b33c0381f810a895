import { mkdirSync } from 'node:fs';
import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { toPem } from '@muster/shared/pki/certificate.js';
import { trustBundleDigest } from '@muster/shared/pki/trust-bundle.js';
import type { Identity } from '@muster/shared/spiffe.js';
import { insertAuthority, selectAuthorities } from '../store/authorities.js';
import { deleteExpiredCertificates, insertCertificate } from '../store/certificates.js';
import type { AuthorityRow } from '../store/schema.js';
import type { Store, Transaction } from '../store/store.js';
import { issueCertificate } from './issue.js';
import { issueKeyCertificate } from './issue-key-certificate.js';
import { createRoot, destroyRootKey, openRoot, type Root } from './root.js';

/** How long an expired certificate stays on record, for its holder to learn that it expired, ms. */
const keptMs = 86_400_000;

/** What a subject gets. */
export interface Certificate {
  /** DER, the leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly notAfter: Date;
}

/** The certificate of a TPM's attestation key. */
export interface KeyCertificate {
  readonly der: Uint8Array;
  readonly notAfter: Date;
  /** The number of the CA that issued it. */
  readonly authority: number;
}

/** The federation's CAs: one issues, all that are trusted are in the bundle. It follows a rotation by {@link refresh}. */
export interface CertificateAuthority {
  readonly trustDomain: string;
  /** The CA that issues. */
  readonly active: Pick<Root, 'number' | 'der' | 'hash'>;
  /** The certificates of every CA that is trusted, DER. */
  readonly bundle: readonly Uint8Array[];
  /** The same, PEM. */
  readonly bundlePem: string;
  /** Names the bundle: see trustBundleDigest. */
  readonly bundleDigest: string;
  /** SHA-256 over the SubjectPublicKeyInfo of the CA that issues, as `sha256:<hex>`: what agents pin. */
  readonly hash: string;
  /** Takes in what the store says of the CAs; false when that is nothing new. Errors: those of {@link openAuthority}. */
  refresh(): Promise<boolean>;
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
  /**
   * Issues a certificate for the attestation key (SubjectPublicKeyInfo, DER) that a site has proven to be in the TPM with
   * this endorsement key. It is accepted nowhere but as an endorsement.
   */
  certifyKey(
    subject: {
      readonly participant: string;
      readonly publicKey: Uint8Array;
      readonly ekFingerprint: string;
    },
    lifetimeMs: number,
  ): Promise<KeyCertificate>;
}

interface Trusted {
  readonly stages: string;
  readonly active: Root;
  readonly bundle: readonly Uint8Array[];
}

/**
 * Opens the CAs of a data directory and its store; makes the first, with a new key, when there is none.
 * Errors: FILE_UNREADABLE, KEY_FILE_EXPOSED, CONFIG_INVALID when it is another trust domain's, STORE_*.
 */
export async function openAuthority(
  store: Store,
  dataDirectory: string,
  trustDomain: string,
  clock: Clock,
): Promise<CertificateAuthority> {
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const load = async (known?: Trusted): Promise<Trusted> => {
    const rows = await store.transaction(selectAuthorities);
    const stages = rows.map(({ number, stage }) => `${number} ${stage}`).join();
    if (stages === known?.stages) return known;
    for (const { number, stage } of rows) if (stage === 'retired') destroyRootKey(dataDirectory, number);
    return trusted(stages, rows, (number) => openRoot(dataDirectory, number, trustDomain));
  };
  await createFirst(store, () => createRoot(dataDirectory, 1, trustDomain, clock), clock);
  let now = await load();
  return {
    trustDomain,
    get active() {
      return now.active;
    },
    get bundle() {
      return now.bundle;
    },
    get bundlePem() {
      return toPem(now.bundle);
    },
    get bundleDigest() {
      return trustBundleDigest(now.bundle);
    },
    get hash() {
      return now.active.hash;
    },
    async refresh() {
      const before = now;
      now = await load(before);
      return now !== before;
    },
    async issue(tx, { role, name }, publicKey, lifetimeMs, hosts = []) {
      const { active } = now;
      const issuedAt = clock.now();
      const notAfter = wholeSecond(Math.min(issuedAt.getTime() + lifetimeMs, active.notAfter.getTime()));
      const identity = { trustDomain, role, name };
      const issued = await issueCertificate(active, { identity, publicKey, issuedAt, notAfter, hosts });
      await deleteExpiredCertificates(tx, new Date(issuedAt.getTime() - keptMs));
      await insertCertificate(tx, {
        serial: issued.serial,
        role,
        name,
        fingerprint: issued.fingerprint,
        issued_at: issuedAt.getTime(),
        not_after: notAfter.getTime(),
        revoked_at: null,
        first_used_at: null,
        superseded_at: null,
        authority: active.number,
      });
      return { chain: [issued.der], notAfter };
    },
    async certifyKey({ participant, publicKey, ekFingerprint }, lifetimeMs) {
      const { active } = now;
      const issuedAt = clock.now();
      const notAfter = wholeSecond(Math.min(issuedAt.getTime() + lifetimeMs, active.notAfter.getTime()));
      const identity = { trustDomain, role: 'site', name: participant } as const;
      const subject = { identity, publicKey, ekFingerprint };
      const der = await issueKeyCertificate(active, subject, { issuedAt, notAfter });
      return { der, notAfter, authority: active.number };
    },
  };
}

/** The files come first: a row always has its CA. */
async function createFirst(store: Store, create: () => Promise<Root>, clock: Clock): Promise<void> {
  if ((await store.transaction(selectAuthorities)).length > 0) return;
  const { number } = await create();
  await store.transaction(async (tx) => {
    if ((await selectAuthorities(tx)).length > 0) return;
    await insertAuthority(tx, { number, stage: 'active', created_at: clock.now().getTime() });
  });
}

function trusted(stages: string, rows: readonly AuthorityRow[], open: (number: number) => Root): Trusted {
  const current = rows.filter(({ stage }) => stage !== 'retired');
  const roots = current.map(({ number }) => open(number));
  const active = roots[current.findIndex(({ stage }) => stage === 'active')];
  if (active === undefined) throw refusal('STORE_CORRUPT', { message: 'No CA is active.' });
  return { stages, active, bundle: roots.map(({ der }) => der) };
}

function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000);
}
