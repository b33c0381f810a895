import { x509 } from '@muster/shared/pki/x509.js';
import { formatSpiffeId, type Role } from '@muster/shared/spiffe.js';
import { webcrypto } from 'node:crypto';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const hourMs = 3_600_000;

/** A certificate and its key, PEM. */
export interface IssuedIdentity {
  readonly certificate: string;
  readonly key: string;
}

/** A federation CA for tests: issues certificates with SPIFFE ids that are valid for an hour. */
export interface TestAuthority {
  /** The CA's certificate, PEM. */
  readonly bundle: string;
  issue(role: Role, name: string): Promise<IssuedIdentity>;
}

/** Makes a CA for a trust domain. */
export async function createAuthority(trustDomain: string): Promise<TestAuthority> {
  const keys = await generateKeys();
  const validity = { notBefore: new Date(Date.now() - hourMs), notAfter: new Date(Date.now() + hourMs) };
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=Test federation',
    keys,
    signingAlgorithm: algorithm,
    ...validity,
    extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
  });
  return {
    bundle: root.toString('pem'),
    issue: async (role, name) => {
      const subject = await generateKeys();
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=${name}`,
        issuer: root.subject,
        publicKey: subject.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        ...validity,
        extensions: [
          new x509.SubjectAlternativeNameExtension([
            { type: 'url', value: formatSpiffeId({ trustDomain, role, name }) },
          ]),
        ],
      });
      const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', subject.privateKey));
      return {
        certificate: certificate.toString('pem'),
        key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString('base64')}\n-----END PRIVATE KEY-----\n`,
      };
    },
  };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}
