import { createHash } from 'node:crypto';
import {
  BasicOCSPResponse,
  OCSPResponse,
  OCSPResponseStatus,
  id_pkix_ocsp_basic,
  type SingleResponse,
} from '@peculiar/asn1-ocsp';
import { AsnConvert } from '@peculiar/asn1-schema';
import { ExtendedKeyUsage, SubjectPublicKeyInfo } from '@peculiar/asn1-x509';
import { perObject } from '../../memo.js';
import { reason, type Reason } from '../../reasons.js';
import { remembered } from '../remember.js';
import { select, type Check } from '../select.js';
import {
  isSignedByP384,
  parseCertificate,
  readExtension,
  type SignedData,
  type VendorCertificate,
} from '../x509.js';
import { linkFault, useFault } from './chain.js';

/** A certificate whose status is asked for, and the one that issued it. */
export interface StatusSubject {
  readonly certificate: VendorCertificate;
  readonly issuer: VendorCertificate;
}

/** What the responses at hand say about a certificate. */
export type StatusOutcome = 'good' | 'absent' | Reason;

/** How requests and responses name a certificate (RFC 6960, section 4.1.1, CertID), in lower-case hex. */
interface CertificateName {
  /** Digests of the issuer's name and of its key. */
  readonly nameHash: string;
  readonly keyHash: string;
  readonly serial: string;
}

/** What a responder says of one certificate (RFC 6960, section 4.2.1). Nothing in it is trusted yet. */
export interface OcspAnswer {
  /** The certificate that it is about, and the hash function by which it is named; undefined for an unknown one. */
  readonly subject: CertificateName & { readonly hash: HashName | undefined };
  readonly response: SingleResponse;
  readonly hasCriticalExtensions: boolean;
  readonly responders: readonly VendorCertificate[];
  readonly signed: SignedData;
}

const ocspSigningOid = '1.3.6.1.5.5.7.3.9';
const extendedKeyUsageOid = '2.5.29.37';
const maxBytes = 32 * 1024;
const maxResponders = 4;
/** Responses that are kept as they were read: those of a few dozen machines. */
const rememberedResponses = 512;

/** The hash functions that name issuers in responses. */
const hashNames = ['sha1', 'sha256', 'sha384', 'sha512'] as const;
type HashName = (typeof hashNames)[number];
const hashOids = new Map<string, HashName>([
  ['1.3.14.3.2.26', 'sha1'],
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);

/** When a response is superseded, its nextUpdate; undefined when it is not readable or does not say. */
export function ocspExpiry(der: Uint8Array): Date | undefined {
  const times = (parseOcspResponse(der) ?? []).map(
    ({ response }) => response.nextUpdate?.getTime() ?? Number.NaN,
  );
  const expiry = new Date(Math.min(...times));
  return times.length === 0 || Number.isNaN(expiry.getTime()) ? undefined : expiry;
}

/**
 * Reads the status of a certificate from the answers at hand. One counts when it is about this certificate
 * of this issuer, is signed by the issuer or by a responder that the issuer named, and is current.
 * Responses about other certificates are left alone.
 */
export function certificateStatus(
  { certificate, issuer }: StatusSubject,
  answers: readonly OcspAnswer[],
  at: Date,
): StatusOutcome {
  const about = answers.filter((answer) => isAbout(answer, { certificate, issuer }));
  const current = select(about, [
    ({ response }) => (response.thisUpdate <= at ? undefined : reason('NV_OCSP_NOT_YET_VALID')),
    ({ response: { nextUpdate } }) =>
      nextUpdate !== undefined && at <= nextUpdate ? undefined : reason('NV_OCSP_EXPIRED'),
    (answer) => (isAuthentic(answer, issuer, at) ? undefined : reason('NV_OCSP_SIGNATURE')),
    ({ hasCriticalExtensions }) => (hasCriticalExtensions ? reason('NV_OCSP_UNREADABLE') : undefined),
  ]);
  if (about.length === 0) return 'absent';
  const failure = select(current.passed, [statusCheck(certificate)]).failure;
  return failure ?? (current.passed.length > 0 ? 'good' : (current.failure ?? reason('NV_OCSP_UNREADABLE')));
}

/** Whether one of the answers is about a certificate, whatever it says. */
export function isAnswered(subject: StatusSubject, answers: readonly OcspAnswer[]): boolean {
  return answers.some((answer) => isAbout(answer, subject));
}

/** How a request names a certificate: by SHA-384. */
export function certificateId({ certificate, issuer }: StatusSubject): CertificateName {
  return { ...issuerHashes(issuer).sha384, serial: evenHex(certificate.serial) };
}

function statusCheck({ commonName }: VendorCertificate): Check<OcspAnswer> {
  return ({ response: { certStatus } }) => {
    if (certStatus.good !== undefined) return undefined;
    if (certStatus.revoked === undefined) {
      return reason('NV_OCSP_UNKNOWN', { message: `The OCSP responder does not know ${commonName}.` });
    }
    return reason('NV_CERTIFICATE_REVOKED', { message: `NVIDIA revoked ${commonName}.` });
  };
}

/** Reads an OCSP response, DER: an answer for each certificate that it is about. Undefined when it is none, or a failure. */
export const parseOcspResponse = remembered(readOcspResponse, rememberedResponses, maxBytes);

function readOcspResponse(der: Uint8Array): readonly OcspAnswer[] | undefined {
  if (der.length > maxBytes) return undefined;
  try {
    const { responseStatus, responseBytes } = AsnConvert.parse(der, OCSPResponse);
    if (responseStatus !== OCSPResponseStatus.successful) return undefined;
    if (responseBytes?.responseType !== id_pkix_ocsp_basic) return undefined;
    const basic = AsnConvert.parse(responseBytes.response.buffer, BasicOCSPResponse);
    const { tbsResponseData, tbsResponseDataRaw, signatureAlgorithm, signature } = basic;
    const certificates = (basic.certs ?? []).slice(0, maxResponders);
    const signed = {
      algorithm: signatureAlgorithm.algorithm,
      data: new Uint8Array(tbsResponseDataRaw ?? new ArrayBuffer()),
      signature: new Uint8Array(signature),
    };
    const responders = certificates.flatMap(
      (certificate) => parseCertificate(new Uint8Array(AsnConvert.serialize(certificate))) ?? [],
    );
    return tbsResponseData.responses.map((response) => ({
      subject: readSubject(response),
      response,
      hasCriticalExtensions: [tbsResponseData.responseExtensions, response.singleExtensions].some(
        (extensions) => extensions?.some(({ critical }) => critical),
      ),
      responders,
      signed,
    }));
  } catch {
    return undefined;
  }
}

function readSubject({ certID }: SingleResponse): OcspAnswer['subject'] {
  const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');
  return {
    hash: hashOids.get(certID.hashAlgorithm.algorithm),
    nameHash: hex(certID.issuerNameHash.buffer),
    keyHash: hex(certID.issuerKeyHash.buffer),
    serial: hex(certID.serialNumber).replace(/^0+(?=.)/, ''),
  };
}

function isAbout({ subject }: OcspAnswer, { certificate, issuer }: StatusSubject): boolean {
  if (subject.hash === undefined || subject.serial !== certificate.serial) return false;
  const { nameHash, keyHash } = issuerHashes(issuer)[subject.hash];
  return subject.nameHash === nameHash && subject.keyHash === keyHash;
}

/** The digests that name an issuer, by hash function. */
const issuerHashes = perObject(({ subject, publicKey }: VendorCertificate) => {
  const spki = AsnConvert.parse(publicKey.export({ type: 'spki', format: 'der' }), SubjectPublicKeyInfo);
  const [name, key] = [Buffer.from(subject, 'hex'), new Uint8Array(spki.subjectPublicKey)];
  return Object.fromEntries(
    hashNames.map((hash) => {
      const digest = (bytes: Uint8Array): string => createHash(hash).update(bytes).digest('hex');
      return [hash, { nameHash: digest(name), keyHash: digest(key) }];
    }),
  ) as Readonly<Record<HashName, Omit<CertificateName, 'serial'>>>;
});

/** Signed by the issuer itself, or by a responder whose certificate the issuer signed (RFC 6960, section 4.2.2.2). */
function isAuthentic({ signed, responders }: OcspAnswer, issuer: VendorCertificate, at: Date): boolean {
  const isDelegate = (responder: VendorCertificate): boolean =>
    maySignResponses(responder) &&
    linkFault(responder, issuer, at) === undefined &&
    useFault(responder, 0) === undefined;
  return (
    responders.some((responder) => isDelegate(responder) && isSignedByP384(signed, responder.publicKey)) ||
    isSignedByP384(signed, issuer.publicKey)
  );
}

const maySignResponses = perObject((certificate: VendorCertificate): boolean => {
  const usage = readExtension(certificate, extendedKeyUsageOid, ExtendedKeyUsage) ?? [];
  return [...usage].includes(ocspSigningOid);
});

function evenHex(hex: string): string {
  return hex.length % 2 === 0 ? hex : `0${hex}`;
}
