import { constants, createHash, verify, X509Certificate, type KeyObject } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  type AlgorithmIdentifier,
  Certificate,
  CertificateList,
  type Extension,
  KeyUsage,
  KeyUsageFlags,
  type Name,
} from '@peculiar/asn1-x509';
import { remembered } from './remember.js';

/** What vendors' chains are checked by (RFC 5280, section 4.1). Nothing in it is trusted before its signature holds. */
export interface VendorCertificate {
  /** The distinguished names, DER, to compare. */
  readonly subject: string;
  readonly issuer: string;
  /** The subject's common name; empty when it has none. */
  readonly commonName: string;
  readonly issuerCommonName: string;
  /** Lower-case hex without leading zeros; `0` for AMD's chip certificates. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  /** SHA-256 over the SubjectPublicKeyInfo, lower-case hex. */
  readonly fingerprint: string;
  /** Contents of the extensions, by object identifier. */
  readonly extensions: ReadonlyMap<string, Uint8Array>;
  readonly criticalExtensions: readonly string[];
  /** basicConstraints cA and keyUsage keyCertSign, both. */
  readonly mayIssueCertificates: boolean;
  readonly mayIssueCrls: boolean;
  readonly signed: SignedData;
}

/** A certificate revocation list (RFC 5280, section 5.1). */
export interface VendorCrl {
  readonly issuer: string;
  readonly thisUpdate: Date;
  readonly nextUpdate?: Date;
  readonly criticalExtensions: readonly string[];
  readonly revoked: readonly { readonly serial: string; readonly criticalExtensions: readonly string[] }[];
  readonly signed: SignedData;
}

/** What a signature covers, as it was received. */
export interface SignedData {
  readonly algorithm: string;
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
}

const commonNameOid = '2.5.4.3';
const basicConstraintsOid = '2.5.29.19';
const keyUsageOid = '2.5.29.15';
const ecdsaSha256Oid = '1.2.840.10045.4.3.2';
const ecdsaSha384Oid = '1.2.840.10045.4.3.3';
const rsaPssOid = '1.2.840.113549.1.1.10';
/** RSASSA-PKCS1-v1_5 and ECDSA with SHA-2, by object identifier (RFC 4055, section 5; RFC 5758, section 3.2). */
const sha2Signatures: Readonly<Record<string, { readonly type: 'rsa' | 'ec'; readonly hash: string }>> = {
  '1.2.840.113549.1.1.11': { type: 'rsa', hash: 'sha256' },
  '1.2.840.113549.1.1.12': { type: 'rsa', hash: 'sha384' },
  '1.2.840.113549.1.1.13': { type: 'rsa', hash: 'sha512' },
  [ecdsaSha256Oid]: { type: 'ec', hash: 'sha256' },
  [ecdsaSha384Oid]: { type: 'ec', hash: 'sha384' },
  '1.2.840.10045.4.3.4': { type: 'ec', hash: 'sha512' },
};
const minimumRsaBits = 2048;

/** Reads a DER certificate; undefined when it is anything else, has trailing bytes or repeats an extension. */
export const parseCertificate = remembered(readCertificate, 4096);

/** Reads a DER certificate revocation list; undefined when it is anything else or has trailing bytes. */
export const parseCrl = remembered(readCrl, 256);

function readCertificate(der: Uint8Array): VendorCertificate | undefined {
  return attempt(() => {
    const { tbsCertificate, tbsCertificateRaw, signatureValue } = AsnConvert.parse(der, Certificate);
    const strict = new X509Certificate(der);
    const extensions = tbsCertificate.extensions ?? [];
    const byOid = new Map(
      extensions.map(({ extnID, extnValue }) => [extnID, new Uint8Array(extnValue.buffer)]),
    );
    if (byOid.size !== extensions.length) throw new Error('an extension is repeated');
    const signed = requireExact(der, tbsCertificateRaw, tbsCertificate.signature, signatureValue);
    const { publicKey } = strict;
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    return {
      subject: nameKey(tbsCertificate.subject),
      issuer: nameKey(tbsCertificate.issuer),
      commonName: commonName(tbsCertificate.subject),
      issuerCommonName: commonName(tbsCertificate.issuer),
      serial: serialKey(tbsCertificate.serialNumber),
      notBefore: tbsCertificate.validity.notBefore.getTime(),
      notAfter: tbsCertificate.validity.notAfter.getTime(),
      publicKey,
      fingerprint: createHash('sha256').update(spki).digest('hex'),
      extensions: byOid,
      criticalExtensions: critical(extensions),
      mayIssueCertificates:
        byOid.has(basicConstraintsOid) &&
        strict.ca &&
        hasKeyUsage(byOid.get(keyUsageOid), KeyUsageFlags.keyCertSign),
      mayIssueCrls: hasKeyUsage(byOid.get(keyUsageOid), KeyUsageFlags.cRLSign),
      signed,
    };
  });
}

/** Reads the content of an extension by its schema; undefined when it is absent or malformed. */
export function readExtension<T>(
  { extensions }: VendorCertificate,
  oid: string,
  schema: new () => T,
): T | undefined {
  const value = extensions.get(oid);
  return value === undefined ? undefined : attempt(() => AsnConvert.parse(value, schema));
}

/** Takes a file or table entry apart into DER certificates: any number in PEM, or one in DER. Undefined for bad PEM. */
export function splitCertificates(bytes: Uint8Array): readonly Uint8Array[] | undefined {
  const text = Buffer.from(bytes).toString('latin1');
  if (!text.includes('-----BEGIN ')) return [bytes];
  const blocks = [
    ...text.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g),
  ];
  const begun = text.split('-----BEGIN ').length - 1;
  if (blocks.length !== begun) return undefined;
  return blocks.map(([, base64 = '']) => Uint8Array.from(Buffer.from(base64, 'base64')));
}

function readCrl(der: Uint8Array): VendorCrl | undefined {
  return attempt(() => {
    const { tbsCertList, tbsCertListRaw, signature } = AsnConvert.parse(der, CertificateList);
    const signed = requireExact(der, tbsCertListRaw, tbsCertList.signature, signature);
    return {
      issuer: nameKey(tbsCertList.issuer),
      thisUpdate: tbsCertList.thisUpdate.getTime(),
      ...(tbsCertList.nextUpdate === undefined ? {} : { nextUpdate: tbsCertList.nextUpdate.getTime() }),
      criticalExtensions: critical(tbsCertList.crlExtensions ?? []),
      revoked: (tbsCertList.revokedCertificates ?? []).map((entry) => ({
        serial: serialKey(entry.userCertificate),
        criticalExtensions: critical(entry.crlEntryExtensions ?? []),
      })),
      signed,
    };
  });
}

const verdicts = new WeakMap<object, WeakMap<KeyObject, boolean>>();

/**
 * Remembers whether the signature of a document holds under a key, for as long as the document as it was read and the
 * key are.
 */
export function holds(signed: object, key: KeyObject, check: () => boolean): boolean {
  const known = verdicts.get(signed) ?? new WeakMap<KeyObject, boolean>();
  verdicts.set(signed, known);
  const verdict = known.get(key) ?? check();
  known.set(key, verdict);
  return verdict;
}

/** Whether a signature is RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes by this key. */
export function isSignedByPss384(signed: SignedData, key: KeyObject): boolean {
  if (signed.algorithm !== rsaPssOid || key.asymmetricKeyType !== 'rsa') return false;
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return holds(signed, key, () =>
    verify('sha384', signed.data, { key, padding, saltLength: 48 }, signed.signature),
  );
}

/** Whether a signature is ECDSA with SHA-256 by this P-256 key (RFC 5758, section 3.2). */
export function isSignedByP256(signed: SignedData, key: KeyObject): boolean {
  if (signed.algorithm !== ecdsaSha256Oid || !isP256(key)) return false;
  return holds(signed, key, () => verify('sha256', signed.data, key, signed.signature));
}

/** Whether a signature is ECDSA with SHA-384 by this P-384 key (RFC 5758, section 3.2). */
export function isSignedByP384(signed: SignedData, key: KeyObject): boolean {
  if (signed.algorithm !== ecdsaSha384Oid || !isP384(key)) return false;
  return holds(signed, key, () => verify('sha384', signed.data, key, signed.signature));
}

/** Whether a signature is RSASSA-PKCS1-v1_5 or ECDSA with SHA-2 by this key; RSA counts from 2048 bits on. */
export function isSignedBySha2(signed: SignedData, key: KeyObject): boolean {
  const scheme = sha2Signatures[signed.algorithm];
  if (scheme === undefined || scheme.type !== key.asymmetricKeyType) return false;
  const bits = key.asymmetricKeyDetails?.modulusLength ?? minimumRsaBits;
  return (
    bits >= minimumRsaBits &&
    holds(signed, key, () => verify(scheme.hash, signed.data, key, signed.signature))
  );
}

/** Whether a key is on the curve P-256. */
export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/** Whether a key is on the curve P-384. */
export function isP384(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'secp384r1';
}

/** What a parser gives; undefined where it throws. */
export function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

/**
 * Throws unless the bytes are exactly the DER of the signed part, its own algorithm again (RFC 5280, section 4.1.1.2)
 * and the signature: what the signature does not cover leaves no choice, and nothing follows.
 */
function requireExact(
  der: Uint8Array,
  signedPart: ArrayBuffer | undefined,
  algorithm: AlgorithmIdentifier,
  signature: ArrayBuffer,
): SignedData {
  const data = Buffer.from(signedPart ?? new ArrayBuffer());
  const bits = Buffer.concat([Uint8Array.of(0), Buffer.from(signature)]);
  const parts = [data, Buffer.from(AsnConvert.serialize(algorithm)), encode(0x03, bits)];
  if (!encode(0x30, Buffer.concat(parts)).equals(der)) throw new Error('not in the one form that DER allows');
  return { algorithm: algorithm.algorithm, data, signature: new Uint8Array(signature) };
}

/** A DER element with a definite length (X.690, section 10.1). */
function encode(tag: number, content: Uint8Array): Buffer {
  const hex = content.length.toString(16);
  const length = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  const prefix = content.length < 0x80 ? [] : [0x80 | length.length];
  return Buffer.concat([Uint8Array.of(tag, ...prefix, ...length), content]);
}

function critical(extensions: readonly Extension[]): readonly string[] {
  return extensions.filter((extension) => extension.critical).map(({ extnID }) => extnID);
}

function hasKeyUsage(value: Uint8Array | undefined, flag: KeyUsageFlags): boolean {
  return value !== undefined && (AsnConvert.parse(value, KeyUsage).toNumber() & flag) !== 0;
}

function nameKey(name: Name): string {
  return Buffer.from(AsnConvert.serialize(name)).toString('hex');
}

function commonName(name: Name): string {
  const attributes = name.flatMap((attributes) => [...attributes]);
  return attributes.findLast(({ type }) => type === commonNameOid)?.value.toString() ?? '';
}

function serialKey(serial: ArrayBuffer): string {
  return Buffer.from(serial)
    .toString('hex')
    .replace(/^0+(?=.)/, '');
}
