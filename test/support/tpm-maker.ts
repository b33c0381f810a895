import 'reflect-metadata';
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  webcrypto,
  type KeyObject,
} from 'node:crypto';
import { x509 } from '@muster/shared/pki/x509.js';

/** A CA of a maker of TPMs. */
export interface TpmAuthority {
  readonly name: string;
  readonly privateKey: KeyObject;
  /** DER. */
  readonly certificate: Uint8Array;
  /** SHA-256 over its SubjectPublicKeyInfo, lower-case hex: what policies name. */
  readonly fingerprint: string;
}

/** What differs from a certificate as a maker issues it. */
export interface TpmCertificateOptions {
  readonly issuerName?: string;
  readonly signingKey?: KeyObject;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly serial?: string;
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly usages?: number;
  readonly purposes?: readonly string[];
  readonly hash?: 'SHA-1' | 'SHA-256' | 'SHA-384';
  /** Further extensions. */
  readonly extensions?: readonly x509.Extension[];
}

/** What differs from a maker's revocation list. */
export interface TpmCrlOptions {
  readonly signingKey?: KeyObject;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date;
  readonly revoked?: readonly string[];
  readonly extensions?: readonly x509.Extension[];
}

const { KeyUsageFlags: usage } = x509;
const caUsages = usage.keyCertSign | usage.cRLSign;
const validity = { notBefore: new Date('2020-01-01'), notAfter: new Date('2040-01-01') };
/** The purpose of endorsement keys (tcg-kp-EKCertificate). */
export const ekPurpose = '2.23.133.8.1';
/** The serial number of an endorsement key's certificate. */
export const ekSerial = '4e';

/** Makes a CA that signed itself, or one below another. */
export async function tpmAuthority(
  name: string,
  issuer?: TpmAuthority,
  options: TpmCertificateOptions & { readonly type?: 'ec' | 'rsa' } = {},
): Promise<TpmAuthority> {
  const { privateKey } =
    options.type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKey = createPublicKey(privateKey);
  const certificate = await certify(name, publicKey, issuer ?? { name, privateKey }, {
    ca: true,
    usages: caUsages,
    ...options,
  });
  return { name, privateKey, certificate, fingerprint: fingerprintOf(publicKey) };
}

/** Makes the certificate of an endorsement key, DER. */
export function ekCertificate(
  publicKey: KeyObject,
  issuer: TpmAuthority,
  options: TpmCertificateOptions = {},
): Promise<Uint8Array> {
  const attribute = (oid: string, value: string) => ({ [oid]: [{ utf8String: value }] });
  const tpm = [
    attribute('2.23.133.2.1', 'id:4D555354'),
    attribute('2.23.133.2.2', 'test'),
    attribute('2.23.133.2.3', 'id:00010002'),
  ];
  const names = new x509.GeneralNames([{ type: 'dn', value: new x509.Name(tpm).toArrayBuffer() }]);
  const isRsa = publicKey.asymmetricKeyType === 'rsa';
  return certify('TPM', publicKey, issuer, {
    usages: isRsa ? usage.keyEncipherment : usage.keyAgreement,
    purposes: [ekPurpose],
    serial: ekSerial,
    ...options,
    extensions: [new x509.Extension('2.5.29.17', true, names.rawData), ...(options.extensions ?? [])],
  });
}

/** Makes a revocation list of a CA, DER. */
export async function tpmCrl(
  { name, privateKey }: TpmAuthority,
  options: TpmCrlOptions = {},
): Promise<Uint8Array> {
  const crl = await x509.X509CrlGenerator.create({
    issuer: `CN=${name}`,
    thisUpdate: options.thisUpdate ?? validity.notBefore,
    nextUpdate: options.nextUpdate ?? validity.notAfter,
    entries: (options.revoked ?? []).map((serialNumber) => ({ serialNumber })),
    ...(options.extensions !== undefined && { extensions: [...options.extensions] }),
    ...(await signer(options.signingKey ?? privateKey, 'SHA-256')),
  });
  return new Uint8Array(crl.rawData);
}

/** SHA-256 over a key's SubjectPublicKeyInfo, lower-case hex. */
export function fingerprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ format: 'der', type: 'spki' }))
    .digest('hex');
}

async function certify(
  name: string,
  publicKey: KeyObject,
  issuer: Pick<TpmAuthority, 'name' | 'privateKey'>,
  options: TpmCertificateOptions,
): Promise<Uint8Array> {
  const { ca = false, purposes = [], hash = 'SHA-256' } = options;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: options.serial ?? randomBytes(8).toString('hex').replace(/^./, '4'),
    subject: `CN=${name}`,
    issuer: `CN=${options.issuerName ?? issuer.name}`,
    notBefore: options.notBefore ?? validity.notBefore,
    notAfter: options.notAfter ?? validity.notAfter,
    publicKey: Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' })),
    ...(await signer(options.signingKey ?? issuer.privateKey, hash)),
    extensions: [
      new x509.BasicConstraintsExtension(ca, options.pathLength, true),
      new x509.KeyUsagesExtension(options.usages ?? 0, true),
      ...(purposes.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension([...purposes])]),
      ...(options.extensions ?? []),
    ],
  });
  return new Uint8Array(certificate.rawData);
}

async function signer(
  key: KeyObject,
  hash: string,
): Promise<{
  readonly signingKey: webcrypto.CryptoKey;
  readonly signingAlgorithm: { readonly name: string; readonly hash: string };
}> {
  const algorithm =
    key.asymmetricKeyType === 'rsa'
      ? { name: 'RSASSA-PKCS1-v1_5', hash }
      : { name: 'ECDSA', namedCurve: 'P-256', hash };
  const der = key.export({ format: 'der', type: 'pkcs8' });
  return {
    signingKey: await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']),
    signingAlgorithm: algorithm,
  };
}
