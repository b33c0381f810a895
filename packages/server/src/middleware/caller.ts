import { createHash, X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { remembered } from '@muster/shared/evidence/remember.js';
import { Pace } from '@muster/shared/pace.js';
import { certificateIdentity, publicKeyDer } from '@muster/shared/pki/certificate.js';
import { formatSpiffeId, type Identity } from '@muster/shared/spiffe.js';
import { findCertificate, markCertificateUsed, supersedeCertificates } from '../store/certificates.js';
import type { CertificateRow } from '../store/schema.js';
import type { Store, Transaction } from '../store/store.js';
import { Turns } from '../store/turns.js';

/** Who calls, as the certificate of the connection says. */
export interface Caller extends Identity {
  readonly spiffeId: string;
  /** The certificate's serial number, hex. */
  readonly serial: string;
  /** The certificate's key, SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly notAfter: Date;
  /** The number of the CA that issued the certificate. */
  readonly authority: number;
}

/**
 * Turns the certificate of a connection into a caller.
 * Errors: UNAUTHENTICATED, CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED, CERTIFICATE_SUPERSEDED.
 */
export type Authenticate = (certificate: PeerCertificate | undefined) => Promise<Caller>;

/**
 * Authenticates against the certificates that the federation CA has issued. TLS has checked the chain when the connection
 * was made; this is checked at every call, because connections outlive certificates and are resumed. The first use of a
 * site's certificate retires those that it replaces; until then they are accepted, for its reply may have been lost.
 */
export function certificateAuthentication(store: Store, trustDomain: string, clock: Clock): Authenticate {
  const pace = new Pace();
  const turns = new Turns();
  return async (peer) => {
    if (peer?.raw === undefined) throw refusal('UNAUTHENTICATED');
    // The first calls of hundreds of connections can come in one turn of the event loop, each with a certificate to read.
    await turns.take(() => pace.step());
    const { identity, publicKey, fingerprint } = readCertificate(peer.raw);
    if (identity === undefined || identity.trustDomain !== trustDomain) throw refusal('UNAUTHENTICATED');
    const issued = await store.transaction(async (tx) => accepted(tx, fingerprint, clock.now().getTime()));
    return {
      ...identity,
      spiffeId: formatSpiffeId(identity),
      serial: issued.serial,
      publicKey,
      notAfter: new Date(issued.not_after),
      authority: issued.authority,
    };
  };
}

/** What a certificate says by itself; callers show theirs with every call. */
const readCertificate = remembered((der: Uint8Array) => {
  const certificate = new X509Certificate(der);
  return {
    identity: certificateIdentity(certificate),
    publicKey: publicKeyDer(certificate.publicKey),
    fingerprint: createHash('sha256').update(der).digest('hex'),
  };
}, 1024);

async function accepted(tx: Transaction, fingerprint: string, at: number): Promise<CertificateRow> {
  const issued = await findCertificate(tx, fingerprint);
  if (issued === undefined) throw refusal('UNAUTHENTICATED');
  if (issued.revoked_at !== null) throw refusal('CERTIFICATE_REVOKED');
  if (issued.not_after <= at) throw refusal('CERTIFICATE_EXPIRED');
  if (issued.superseded_at !== null) throw refusal('CERTIFICATE_SUPERSEDED');
  if (issued.first_used_at === null) {
    await markCertificateUsed(tx, issued.serial, at);
    if (issued.role === 'site') await supersedeCertificates(tx, issued, issued.issued_at, at);
  }
  return issued;
}
