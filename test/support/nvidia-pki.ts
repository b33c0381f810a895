import { createHash, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import {
  BasicOCSPResponse,
  CertID,
  CertStatus,
  OCSPResponse,
  OCSPResponseStatus,
  ResponderID,
  ResponseBytes,
  ResponseData,
  RevokedInfo,
  SingleResponse,
  id_pkix_ocsp_basic,
} from '@peculiar/asn1-ocsp';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509';

/** A certificate with the key that it certifies. */
export interface Holder {
  readonly name: string;
  /** DER. */
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
  readonly serial: string;
}

/** What can be wrong with a certificate. */
export interface HolderOptions {
  readonly issuer?: Holder;
  /** The key that signs it, instead of the issuer's. */
  readonly signingKey?: KeyObject;
  readonly issuerName?: string;
  readonly serial?: string;
  readonly key?: KeyObject;
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly usage?: number;
  readonly extensions?: readonly Extension[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

const ecdsaSha384 = '1.2.840.10045.4.3.3';
const keys = new Map<string, KeyObject>();

/** A private P-384 key by name, made once per process. */
export function p384Key(name: string): KeyObject {
  const known = keys.get(name) ?? generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey;
  keys.set(name, known);
  return known;
}

/** Makes a certificate; without an issuer it signs itself. */
export function holder(name: string, options: HolderOptions = {}): Holder {
  const { issuer, key = p384Key(name), ca = false, pathLength, extensions = [] } = options;
  const usage = options.usage ?? (ca ? KeyUsageFlags.keyCertSign : KeyUsageFlags.digitalSignature);
  const serial = options.serial ?? createHash('sha256').update(name).digest('hex').slice(0, 16);
  const tbs = new TBSCertificate({
    version: Version.v3,
    serialNumber: positive(serial),
    signature: new AlgorithmIdentifier({ algorithm: ecdsaSha384 }),
    issuer: nameOf(options.issuerName ?? issuer?.name ?? name),
    validity: new Validity({
      notBefore: options.notBefore ?? new Date('2020-01-01T00:00:00Z'),
      notAfter: options.notAfter ?? new Date('2045-01-01T00:00:00Z'),
    }),
    subject: nameOf(name),
    subjectPublicKeyInfo: AsnConvert.parse(spkiOf(key), SubjectPublicKeyInfo),
    extensions: new Extensions([
      extension(
        '2.5.29.19',
        AsnConvert.serialize(
          new BasicConstraints({
            cA: ca,
            ...(pathLength === undefined ? {} : { pathLenConstraint: pathLength }),
          }),
        ),
        true,
      ),
      extension('2.5.29.15', AsnConvert.serialize(new KeyUsage(usage)), true),
      ...extensions,
    ]),
  });
  const signature = sign(
    'sha384',
    new Uint8Array(AsnConvert.serialize(tbs)),
    options.signingKey ?? issuer?.key ?? key,
  );
  const certificate = new Certificate({
    tbsCertificate: tbs,
    signatureAlgorithm: new AlgorithmIdentifier({ algorithm: ecdsaSha384 }),
    signatureValue: Uint8Array.from(signature).buffer,
  });
  return { name, certificate: new Uint8Array(AsnConvert.serialize(certificate)), key, serial };
}

/** An extension of a certificate. */
export function extension(oid: string, value: ArrayBuffer | Uint8Array, critical = false): Extension {
  return new Extension({ extnID: oid, critical, extnValue: new OctetString(value) });
}

/** SHA-256 over a holder's public key, lower-case hex: what a configuration names as simulated root. */
export function fingerprintOf({ key }: Holder): string {
  return createHash('sha256').update(spkiOf(key)).digest('hex');
}

/** What can be wrong with an OCSP response. */
export interface OcspOptions {
  readonly status?: 'good' | 'revoked' | 'unknown';
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date;
  /** The certificates in it; the first one's key signs. By default a responder of the issuer's. */
  readonly responder?: Holder;
  readonly hash?: 'sha1' | 'sha256' | 'sha384';
}

const hashOids = {
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
};

/** A responder whose certificate the issuer signed for OCSP. */
export function ocspResponder(issuer: Holder, options: HolderOptions = {}): Holder {
  const usage = extension('2.5.29.37', AsnConvert.serialize(new ExtendedKeyUsage(['1.3.6.1.5.5.7.3.9'])));
  return holder(`${issuer.name} OCSP`, { issuer, extensions: [usage], ...options });
}

/** The digests of an issuer's name and key, as OCSP names it. */
function issuerDigests(issuer: Holder, hash: string): { readonly name: Buffer; readonly key: Buffer } {
  const digest = (bytes: Uint8Array): Buffer => createHash(hash).update(bytes).digest();
  const spki = AsnConvert.parse(spkiOf(issuer.key), SubjectPublicKeyInfo);
  return {
    name: digest(new Uint8Array(AsnConvert.serialize(nameOf(issuer.name)))),
    key: digest(new Uint8Array(spki.subjectPublicKey)),
  };
}

/** Where an offline directory has the response about a certificate, below `nvidia/`. */
export function ocspFile({ serial }: Holder, issuer: Holder): string {
  const { name, key } = issuerDigests(issuer, 'sha384');
  return `ocsp/${name.toString('hex')}/${key.toString('hex')}/${serial}`;
}

/** An OCSP response about a certificate of an issuer, DER. */
export function ocspResponse(subject: Holder, issuer: Holder, options: OcspOptions = {}): Uint8Array {
  const { status = 'good', hash = 'sha384', responder = ocspResponder(issuer) } = options;
  const { name, key } = issuerDigests(issuer, hash);
  const statuses = {
    good: new CertStatus({ good: null }),
    revoked: new CertStatus({
      revoked: new RevokedInfo({ revocationTime: new Date('2025-01-01T00:00:00Z') }),
    }),
    unknown: new CertStatus({ unknown: null }),
  };
  const data = new ResponseData({
    responderID: new ResponderID({ byName: nameOf(responder.name) }),
    producedAt: new Date('2026-01-01T00:00:00Z'),
    responses: [
      new SingleResponse({
        certID: new CertID({
          hashAlgorithm: new AlgorithmIdentifier({ algorithm: hashOids[hash], parameters: null }),
          issuerNameHash: new OctetString(name),
          issuerKeyHash: new OctetString(key),
          serialNumber: positive(subject.serial),
        }),
        certStatus: statuses[status],
        thisUpdate: options.thisUpdate ?? new Date('2026-01-01T00:00:00Z'),
        nextUpdate: options.nextUpdate ?? new Date('2026-12-31T00:00:00Z'),
      }),
    ],
  });
  const signature = sign('sha384', new Uint8Array(AsnConvert.serialize(data)), responder.key);
  const basic = new BasicOCSPResponse({
    tbsResponseData: data,
    signatureAlgorithm: new AlgorithmIdentifier({ algorithm: ecdsaSha384 }),
    signature: Uint8Array.from(signature).buffer,
    certs: [AsnConvert.parse(responder.certificate, Certificate)],
  });
  const response = new OCSPResponse({
    responseStatus: OCSPResponseStatus.successful,
    responseBytes: new ResponseBytes({
      responseType: id_pkix_ocsp_basic,
      response: new OctetString(AsnConvert.serialize(basic)),
    }),
  });
  return new Uint8Array(AsnConvert.serialize(response));
}

function nameOf(commonName: string): Name {
  const value = new AttributeValue({ utf8String: commonName });
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: '2.5.4.3', value })])]);
}

function spkiOf(key: KeyObject): Buffer {
  return Buffer.from(createPublicKey(key).export({ type: 'spki', format: 'der' }));
}

/** The content of a positive DER integer, minimal. */
function positive(hex: string): ArrayBuffer {
  const bytes = Buffer.from(hex.replace(/^(?:00)+/, ''), 'hex');
  return Uint8Array.from((bytes[0] ?? 0) < 0x80 ? bytes : [0, ...bytes]).buffer;
}
