import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  BasicConstraints,
  Certificate,
  CertificateList,
  type Extension,
  Extensions,
  KeyUsage,
  KeyUsageFlags,
  RevokedCertificate,
  SubjectPublicKeyInfo,
  TBSCertificate,
  TBSCertList,
  Time,
  Validity,
  Version,
} from '@peculiar/asn1-x509';
import { defaultValidity, distinguishedName, extension, type KeyHolder } from './snp-builder.js';

/** A simulated vendor in the place of Intel. */
export interface IntelHierarchy {
  readonly root: KeyHolder;
  /** Issues PCKs. */
  readonly pckCa: KeyHolder;
  /** Signs TCB info and QE identity. */
  readonly tcbSigning: KeyHolder;
  /** SHA-256 over the root's SubjectPublicKeyInfo, lower-case hex: what a configuration names as simulated root. */
  readonly rootFingerprint: string;
}

/** What can be wrong with a certificate. */
export interface IntelCertificateOptions {
  readonly name?: string;
  readonly issuerName?: string;
  readonly serial?: number;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly ca?: boolean;
  readonly keyUsage?: number;
  readonly curve?: 'P-256' | 'P-384';
  readonly hash?: 'sha256' | 'sha384';
  readonly signingKey?: KeyObject;
  readonly extensions?: readonly Extension[];
}

/** What can be wrong with a hierarchy. */
export interface IntelHierarchyOptions {
  readonly root?: IntelCertificateOptions;
  readonly pckCa?: IntelCertificateOptions;
  readonly tcbSigning?: IntelCertificateOptions;
}

/** Serial numbers of a hierarchy's certificates, for revocation lists. */
export const serials = { root: 0x10, pckCa: 0x20, tcbSigning: 0x30, pck: 0x40 } as const;

/** Makes a simulated vendor with new keys. */
export function intelHierarchy(options: IntelHierarchyOptions = {}): IntelHierarchy {
  const root = issue('Intel SGX Root CA', serials.root, undefined, {
    ca: true,
    keyUsage: KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign,
    ...options.root,
  });
  return {
    root,
    pckCa: issue('Intel SGX PCK Platform CA', serials.pckCa, root, {
      ca: true,
      keyUsage: KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign,
      ...options.pckCa,
    }),
    tcbSigning: issue('Intel SGX TCB Signing', serials.tcbSigning, root, { ...options.tcbSigning }),
    rootFingerprint: fingerprintOf(root.certificate),
  };
}

/** What a PCK certificate says of its platform. */
export interface PckPlatformOptions {
  readonly ppid?: Uint8Array;
  readonly componentSvns?: readonly number[];
  readonly pceSvn?: number;
  readonly pceId?: Uint8Array;
  readonly fmspc?: Uint8Array;
  readonly platformInstanceId?: Uint8Array;
  readonly smtEnabled?: boolean;
  /** Ends of object identifiers to leave out, such as `.4` for the FMSPC. */
  readonly without?: readonly string[];
  /** Writes the whole extension anew. */
  readonly alter?: (der: Uint8Array) => Uint8Array;
}

/** The platform of {@link pckCertificate} unless told otherwise. */
export const defaultPlatform = {
  ppid: new Uint8Array(16).fill(0x1d),
  componentSvns: [3, 3, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
  pceSvn: 11,
  pceId: Uint8Array.of(0, 0),
  fmspc: Uint8Array.of(0xb0, 0xc0, 0x6f, 0, 0, 0),
} as const;

/** Makes the certificate of a platform's provisioning certification key. */
export function pckCertificate(
  { pckCa }: IntelHierarchy,
  platform: PckPlatformOptions = {},
  options: IntelCertificateOptions = {},
): KeyHolder {
  const { alter = (der) => der } = platform;
  return issue('Intel SGX PCK Certificate', serials.pck, pckCa, {
    ...options,
    extensions: [extension(sgx, alter(sgxExtension(platform))), ...(options.extensions ?? [])],
  });
}

/** What can be wrong with a certificate revocation list. */
export interface CrlOptions {
  readonly issuerName?: string;
  readonly signingKey?: KeyObject;
  readonly thisUpdate?: Date;
  /** null leaves it out. */
  readonly nextUpdate?: Date | null;
  readonly hash?: 'sha256' | 'sha384';
  readonly revoked?: readonly number[];
  readonly extensions?: readonly Extension[];
  readonly entryExtensions?: readonly Extension[];
}

/** Makes a certificate revocation list, DER. */
export function intelCrl(issuer: KeyHolder, options: CrlOptions = {}): Uint8Array {
  const { nextUpdate = defaultValidity.notAfter, hash = 'sha256', revoked = [], entryExtensions } = options;
  const tbsCertList = new TBSCertList({
    version: Version.v2,
    signature: ecdsa(hash),
    issuer: distinguishedName(options.issuerName ?? issuer.name),
    thisUpdate: new Time(options.thisUpdate ?? defaultValidity.notBefore),
    ...(nextUpdate === null ? {} : { nextUpdate: new Time(nextUpdate) }),
    ...(revoked.length === 0
      ? {}
      : {
          revokedCertificates: revoked.map(
            (serial) =>
              new RevokedCertificate({
                userCertificate: Uint8Array.of(serial).buffer,
                revocationDate: new Time(defaultValidity.notBefore),
                ...(entryExtensions === undefined ? {} : { crlEntryExtensions: [...entryExtensions] }),
              }),
          ),
        }),
    ...(options.extensions === undefined ? {} : { crlExtensions: [...options.extensions] }),
  });
  const key = options.signingKey ?? issuer.privateKey;
  return new Uint8Array(
    AsnConvert.serialize(
      new CertificateList({
        tbsCertList,
        signatureAlgorithm: ecdsa(hash),
        signature: signDer(AsnConvert.serialize(tbsCertList), key, hash),
      }),
    ),
  );
}

/** SHA-256 over a certificate's SubjectPublicKeyInfo, lower-case hex. */
export function fingerprintOf(certificate: Uint8Array): string {
  const { tbsCertificate } = AsnConvert.parse(certificate, Certificate);
  return createHash('sha256')
    .update(Buffer.from(AsnConvert.serialize(tbsCertificate.subjectPublicKeyInfo)))
    .digest('hex');
}

/** Writes certificates as Intel's software does. */
export function pemOf(...certificates: readonly Uint8Array[]): string {
  return certificates
    .map((der) => {
      const lines = Buffer.from(der)
        .toString('base64')
        .replaceAll(/.{1,64}/g, '$&\n');
      return `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`;
    })
    .join('');
}

const sgx = '1.2.840.113741.1.13.1';

function issue(
  commonName: string,
  serial: number,
  issuer: KeyHolder | undefined,
  options: IntelCertificateOptions,
): KeyHolder {
  const { hash = 'sha256', keyUsage = KeyUsageFlags.digitalSignature | KeyUsageFlags.nonRepudiation } =
    options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: options.curve ?? 'P-256' });
  const name = options.name ?? commonName;
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: Uint8Array.of(options.serial ?? serial).buffer,
    signature: ecdsa(hash),
    issuer: distinguishedName(options.issuerName ?? issuer?.name ?? name),
    subject: distinguishedName(name),
    validity: new Validity({
      notBefore: options.notBefore ?? defaultValidity.notBefore,
      notAfter: options.notAfter ?? defaultValidity.notAfter,
    }),
    subjectPublicKeyInfo: AsnConvert.parse(
      publicKey.export({ type: 'spki', format: 'der' }),
      SubjectPublicKeyInfo,
    ),
    extensions: new Extensions([
      extension('2.5.29.19', AsnConvert.serialize(new BasicConstraints({ cA: options.ca ?? false })), true),
      extension('2.5.29.15', AsnConvert.serialize(new KeyUsage(keyUsage)), true),
      ...(options.extensions ?? []),
    ]),
  });
  const key = options.signingKey ?? issuer?.privateKey ?? privateKey;
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm: ecdsa(hash),
    signatureValue: signDer(AsnConvert.serialize(tbsCertificate), key, hash),
  });
  return { name, certificate: new Uint8Array(AsnConvert.serialize(certificate)), privateKey };
}

function signDer(data: ArrayBuffer, key: KeyObject, hash: 'sha256' | 'sha384'): ArrayBuffer {
  return new Uint8Array(sign(hash, Buffer.from(data), key)).buffer;
}

function ecdsa(hash: 'sha256' | 'sha384'): AlgorithmIdentifier {
  return new AlgorithmIdentifier({ algorithm: `1.2.840.10045.4.3.${hash === 'sha256' ? 2 : 3}` });
}

/** Intel's extension of a PCK certificate (Intel SGX PCK Certificate Profile, section 1.3.5). */
function sgxExtension(platform: PckPlatformOptions): Uint8Array {
  const { ppid, componentSvns, pceSvn, pceId, fmspc } = { ...defaultPlatform, ...platform };
  const { platformInstanceId, smtEnabled, without = [] } = platform;
  const field = (suffix: string, value: Uint8Array): readonly Uint8Array[] =>
    without.includes(suffix) ? [] : [der(0x30, oid(suffix), value)];
  const tcb = [
    ...componentSvns.flatMap((svn, index) => field(`.2.${index + 1}`, integer(svn))),
    ...field('.2.17', integer(pceSvn)),
    ...field('.2.18', der(0x04, Uint8Array.from(componentSvns))),
  ];
  return der(
    0x30,
    ...field('.1', der(0x04, ppid)),
    ...field('.2', der(0x30, ...tcb)),
    ...field('.3', der(0x04, pceId)),
    ...field('.4', der(0x04, fmspc)),
    ...field('.5', der(0x0a, Uint8Array.of(1))),
    ...(platformInstanceId === undefined ? [] : field('.6', der(0x04, platformInstanceId))),
    ...(smtEnabled === undefined
      ? []
      : field('.7', der(0x30, der(0x30, oid('.7.3'), der(0x01, Uint8Array.of(smtEnabled ? 0xff : 0)))))),
  );
}

function oid(suffix: string): Uint8Array {
  const own = suffix.split('.').slice(1).map(Number);
  return der(0x06, Uint8Array.from([...Buffer.from('2a864886f84d010d01', 'hex'), ...own]));
}

function integer(value: number): Uint8Array {
  const bytes = value > 0xff ? [value >> 8, value & 0xff] : [value];
  return der(0x02, Uint8Array.from((bytes[0] ?? 0) >= 0x80 ? [0, ...bytes] : bytes));
}

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const { length } = content;
  const prefix =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Uint8Array.from([tag, ...prefix, ...content]);
}
