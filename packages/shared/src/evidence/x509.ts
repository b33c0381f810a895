import { constants, createHash, verify, X509Certificate, type KeyObject } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate, CertificateList, Extension, KeyUsage, KeyUsageFlags, Name } from '@peculiar/asn1-x509';

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
const rsaPssOid = '1.2.840.113549.1.1.10';

/** Reads a DER certificate; undefined when it is anything else, has trailing bytes or repeats an extension. */
export function parseCertificate(der: Uint8Array): VendorCertificate | undefined {
  return attempt(() => {
    requireOneElement(der);
    const { tbsCertificate, tbsCertificateRaw, signatureAlgorithm, signatureValue } = AsnConvert.parse(
      der,
      Certificate,
    );
    const strict = new X509Certificate(der);
    const extensions = tbsCertificate.extensions ?? [];
    const byOid = new Map(
      extensions.map(({ extnID, extnValue }) => [extnID, new Uint8Array(extnValue.buffer)]),
    );
    if (byOid.size !== extensions.length) throw new Error('an extension is repeated');
    if (tbsCertificate.signature.algorithm !== signatureAlgorithm.algorithm)
      throw new Error('the algorithms differ');
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
      signed: {
        algorithm: signatureAlgorithm.algorithm,
        data: received(tbsCertificateRaw),
        signature: new Uint8Array(signatureValue),
      },
    };
  });
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

/** Reads a DER certificate revocation list; undefined when it is anything else or has trailing bytes. */
export function parseCrl(der: Uint8Array): VendorCrl | undefined {
  return attempt(() => {
    requireOneElement(der);
    const { tbsCertList, tbsCertListRaw, signatureAlgorithm, signature } = AsnConvert.parse(
      der,
      CertificateList,
    );
    if (tbsCertList.signature.algorithm !== signatureAlgorithm.algorithm)
      throw new Error('the algorithms differ');
    return {
      issuer: nameKey(tbsCertList.issuer),
      thisUpdate: tbsCertList.thisUpdate.getTime(),
      ...(tbsCertList.nextUpdate === undefined ? {} : { nextUpdate: tbsCertList.nextUpdate.getTime() }),
      criticalExtensions: critical(tbsCertList.crlExtensions ?? []),
      revoked: (tbsCertList.revokedCertificates ?? []).map((entry) => ({
        serial: serialKey(entry.userCertificate),
        criticalExtensions: critical(entry.crlEntryExtensions ?? []),
      })),
      signed: {
        algorithm: signatureAlgorithm.algorithm,
        data: received(tbsCertListRaw),
        signature: new Uint8Array(signature),
      },
    };
  });
}

/** Whether a signature is RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes by this key. */
export function isSignedByPss384(signed: SignedData, key: KeyObject): boolean {
  if (signed.algorithm !== rsaPssOid || key.asymmetricKeyType !== 'rsa') return false;
  return verify(
    'sha384',
    signed.data,
    { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 },
    signed.signature,
  );
}

function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

/** Throws unless the bytes are exactly one SEQUENCE in DER. */
function requireOneElement(der: Uint8Array): void {
  const [tag, first = 0] = der;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (tag !== 0x30 || lengthBytes > 3 || first === 0x80) throw new Error('not a SEQUENCE');
  const length =
    lengthBytes === 0
      ? first
      : der.subarray(2, 2 + lengthBytes).reduce((total, byte) => total * 256 + byte, 0);
  if (2 + lengthBytes + length !== der.length) throw new Error('trailing or missing bytes');
}

function received(raw: ArrayBuffer | undefined): Uint8Array {
  if (raw === undefined) throw new Error('the signed bytes were not kept');
  return new Uint8Array(raw);
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
