import { createHash, createPublicKey, randomBytes, webcrypto, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { x509 } from '@muster/shared/pki/x509.js';
import { formatSpiffeId, type Identity, type Role } from '@muster/shared/spiffe.js';

/** The algorithm of the federation's CAs. */
export const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** How far certificates are back-dated, so that a peer whose clock is behind accepts them, ms. */
export const backdatedMs = 5 * 60_000;
const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;

/** What a certificate says. */
export interface CertificateRequest {
  readonly identity: Identity;
  /** The subject's key, SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly issuedAt: Date;
  readonly notAfter: Date;
  /** DNS names and IP addresses, for servers. */
  readonly hosts?: readonly string[];
}

/** A key that certifies, and its certificate. */
export interface Issuer {
  readonly key: KeyObject;
  readonly certificate: x509.X509Certificate;
}

/** A certificate as it was issued. */
export interface IssuedCertificate {
  readonly der: Uint8Array;
  /** Hex. */
  readonly serial: string;
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string;
}

/** Signs a certificate (RFC 5280) whose only URI name is the SPIFFE id of the subject (X.509-SVID, section 2). */
export async function issueCertificate(
  issuer: Issuer,
  request: CertificateRequest,
): Promise<IssuedCertificate> {
  const serial = newSerial();
  const publicKey = await webcrypto.subtle.importKey(
    'spki',
    Buffer.from(request.publicKey),
    algorithm,
    true,
    ['verify'],
  );
  const hosts = (request.hosts ?? []).map(
    (value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }) as const,
  );
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: [{ CN: [request.identity.name] }],
    issuer: issuer.certificate.subject,
    notBefore: new Date(request.issuedAt.getTime() - backdatedMs),
    notAfter: request.notAfter,
    publicKey,
    signingKey: await signingKey(issuer.key),
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(purposes(request.identity.role)),
      new x509.SubjectAlternativeNameExtension([
        { type: 'url', value: formatSpiffeId(request.identity) },
        ...hosts,
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  const der = new Uint8Array(certificate.rawData);
  return { der, serial, fingerprint: createHash('sha256').update(der).digest('hex') };
}

/** Signs the certificate of a federation's CA with its own key. It certifies leaves only. Returns DER. */
export async function issueRoot(
  key: KeyObject,
  trustDomain: string,
  issuedAt: Date,
  notAfter: Date,
): Promise<Uint8Array> {
  const publicKey = await webcrypto.subtle.importKey(
    'spki',
    createPublicKey(key).export({ format: 'der', type: 'spki' }),
    algorithm,
    true,
    ['verify'],
  );
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ O: ['Muster'] }, { CN: [`Federation CA ${trustDomain}`.slice(0, 64)] }],
    notBefore: new Date(issuedAt.getTime() - backdatedMs),
    notAfter,
    keys: { privateKey: await signingKey(key), publicKey },
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${trustDomain}` }]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return new Uint8Array(certificate.rawData);
}

/** 127 random bits, positive (RFC 5280, section 4.1.2.2). */
export function newSerial(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
}

function purposes(role: Role): string[] {
  return role === 'server' ? [serverAuth, clientAuth] : [clientAuth];
}

/** A private key for the X.509 library. */
export function signingKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const der = key.export({ format: 'der', type: 'pkcs8' });
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}
