import { akPurpose } from '@muster/shared/evidence/x-tpm/ak-certificate.js';
import { x509 } from '@muster/shared/pki/x509.js';
import { formatSpiffeId, type Identity } from '@muster/shared/spiffe.js';
import { algorithm, backdatedMs, newSerial, signingKey, type Issuer } from './issue.js';

/** An attestation key, and whose it is. */
export interface KeySubject {
  readonly identity: Identity;
  /** The attestation key, SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** SHA-256 over the SubjectPublicKeyInfo of the TPM's endorsement key, lower-case hex. */
  readonly ekFingerprint: string;
}

/** The attribute serialNumber of a distinguished name (RFC 4519, section 2.31): it tells devices apart. */
const serialNumberOid = '2.5.4.5';

/**
 * Signs the certificate of a TPM's attestation key, DER. It says what credential activation has shown, and is of no use
 * to authenticate a connection: its only purpose is tcg-kp-AIKCertificate, and it is not on record as a caller's.
 */
export async function issueKeyCertificate(
  issuer: Issuer,
  { identity, publicKey, ekFingerprint }: KeySubject,
  { issuedAt, notAfter }: { readonly issuedAt: Date; readonly notAfter: Date },
): Promise<Uint8Array> {
  const key = Uint8Array.from(publicKey);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ CN: [identity.name] }, { [serialNumberOid]: [ekFingerprint] }],
    issuer: issuer.certificate.subject,
    notBefore: new Date(issuedAt.getTime() - backdatedMs),
    notAfter,
    publicKey: key,
    signingKey: await signingKey(issuer.key),
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([akPurpose], true),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: formatSpiffeId(identity) }]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate),
      await x509.SubjectKeyIdentifierExtension.create(key),
    ],
  });
  return new Uint8Array(certificate.rawData);
}
