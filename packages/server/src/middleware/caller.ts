import { createHash, X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { certificateIdentity, publicKeyDer } from '@muster/shared/pki/certificate.js';
import { formatSpiffeId, type Identity } from '@muster/shared/spiffe.js';
import { findCertificate } from '../store/certificates.js';
import type { Store } from '../store/store.js';

/** Who calls, as the certificate of the connection says. */
export interface Caller extends Identity {
  readonly spiffeId: string;
  /** The certificate's serial number, hex. */
  readonly serial: string;
  /** The certificate's key, SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly notAfter: Date;
}

/** Turns the certificate of a connection into a caller. Errors: UNAUTHENTICATED, CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED. */
export type Authenticate = (certificate: PeerCertificate | undefined) => Promise<Caller>;

/**
 * Authenticates against the certificates that the federation CA has issued. TLS has checked the chain when the connection
 * was made; this is checked at every call, because connections outlive certificates and are resumed.
 */
export function certificateAuthentication(store: Store, trustDomain: string, clock: Clock): Authenticate {
  return async (peer) => {
    if (peer?.raw === undefined) throw refusal('UNAUTHENTICATED');
    const certificate = new X509Certificate(peer.raw);
    const identity = certificateIdentity(certificate);
    if (identity === undefined || identity.trustDomain !== trustDomain) throw refusal('UNAUTHENTICATED');
    const fingerprint = createHash('sha256').update(peer.raw).digest('hex');
    const issued = await store.transaction((tx) => findCertificate(tx, fingerprint));
    if (issued === undefined) throw refusal('UNAUTHENTICATED');
    if (issued.revoked_at !== null) throw refusal('CERTIFICATE_REVOKED');
    if (issued.not_after <= clock.now().getTime()) throw refusal('CERTIFICATE_EXPIRED');
    return {
      ...identity,
      spiffeId: formatSpiffeId(identity),
      serial: issued.serial,
      publicKey: publicKeyDer(certificate.publicKey),
      notAfter: new Date(issued.not_after),
    };
  };
}
