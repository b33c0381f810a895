import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import { parseSpiffeId, type Identity } from '../spiffe.js';

/** SHA-256 over a certificate's SubjectPublicKeyInfo, as `sha256:<hex>`; what agents pin. */
export function publicKeyHash(certificate: X509Certificate): string {
  return `sha256:${createHash('sha256').update(publicKeyDer(certificate.publicKey)).digest('hex')}`;
}

/** A public key as SubjectPublicKeyInfo, DER. */
export function publicKeyDer(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: 'der', type: 'spki' }));
}

/** The identity in a certificate's only URI name (X.509-SVID, section 2); undefined when there is not exactly one. */
export function certificateIdentity(certificate: X509Certificate): Identity | undefined {
  const uris = (certificate.subjectAltName ?? '').split(', ').filter((entry) => entry.startsWith('URI:'));
  const [uri] = uris;
  return uris.length === 1 && uri !== undefined ? parseSpiffeId(uri.slice('URI:'.length)) : undefined;
}

/** DER certificates as the PEM text that TLS libraries take. */
export function toPem(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => new X509Certificate(der).toString()).join('');
}
