import type { EndorsementQuery, Endorsements } from '../evidence/appraisal.js';
import { readManifest, readOcspResponse, type NvCollateral } from '../evidence/x-nv-gpu/collateral.js';
import { readQeIdentity, readTcbInfo } from '../evidence/x-tdx/collateral.js';
import { parseCertificate, parseCrl, splitCertificates } from '../evidence/x509.js';

/** What a query was answered with, readable but not verified: verification is the verifier's work. */
export interface Endorsement {
  /** DER certificates, one certificate revocation list in DER, or one document as its vendor serves it. */
  readonly items: readonly Uint8Array[];
  /** The certificates of its signer, DER, where the place delivers them beside it. */
  readonly issuers?: readonly Uint8Array[];
  /** When the first of them expires. */
  readonly expiresAt: Date;
}

/** A place where endorsements are: a vendor's service, a directory, or a cache in front of one. */
export interface EndorsementStore {
  /**
   * Answers a query; undefined when the place does not have it.
   * Errors: ATTESTATION_DEFERRED when the place cannot tell at the moment; the signal's reason when aborted.
   */
  fetch(query: EndorsementQuery, signal?: AbortSignal): Promise<Endorsement | undefined>;
  /** Is told that evidence was refused with its answer: a place that remembers answers soon asks for another one. */
  doubt?(query: EndorsementQuery): void;
}

/** Reads an answer; undefined when it is not what was asked for, such as the page of a proxy. */
export function readEndorsement(kind: EndorsementQuery['kind'], bytes: Uint8Array): Endorsement | undefined {
  switch (kind) {
    case 'certificates':
      return readCertificates(bytes);
    case 'crl':
      return until(bytes, parseCrl(bytes)?.nextUpdate);
    case 'tdx-tcb-info':
      return until(bytes, readTcbInfo(bytes)?.value.nextUpdate);
    case 'tdx-qe-identity':
      return until(bytes, readQeIdentity(bytes)?.value.nextUpdate);
    case 'nvidia-rim':
      return single(readManifest(bytes));
    case 'ocsp':
      return single(readOcspResponse(bytes));
  }
}

/** Writes an answer in the form that {@link readEndorsement} reads: certificates in PEM, anything else as it was served. */
export function writeEndorsement(kind: EndorsementQuery['kind'], { items }: Endorsement): Uint8Array {
  return kind === 'certificates' ? writeCertificates(items) : (items[0] ?? new Uint8Array());
}

/** Writes certificates in PEM. */
export function writeCertificates(items: readonly Uint8Array[]): Uint8Array {
  const blocks = items.map((der) => {
    const lines = Buffer.from(der)
      .toString('base64')
      .replaceAll(/.{64}(?=.)/g, '$&\n');
    return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
  });
  return Uint8Array.from(Buffer.from(blocks.join('')));
}

/** Adds up what queries were answered with. */
export function collectEndorsements(
  answers: readonly { readonly kind: EndorsementQuery['kind']; readonly found: Endorsement }[],
): Endorsements {
  return {
    certificates: answers.flatMap(({ kind, found: { items, issuers = [] } }) =>
      kind === 'certificates' ? [...items, ...issuers] : issuers,
    ),
    crls: answers.flatMap(({ kind, found }) => (kind === 'crl' ? found.items : [])),
    documents: answers.flatMap(({ kind, found }) =>
      kind === 'certificates' || kind === 'crl' ? [] : found.items.map((content) => ({ kind, content })),
    ),
  };
}

function readCertificates(bytes: Uint8Array): Endorsement | undefined {
  const items = splitCertificates(bytes) ?? [];
  const expiries = items.map((der) => parseCertificate(der)?.notAfter.getTime() ?? Number.NaN);
  const expiresAt = new Date(Math.min(...expiries));
  return items.length === 0 || Number.isNaN(expiresAt.getTime()) ? undefined : { items, expiresAt };
}

function single(document: NvCollateral | undefined): Endorsement | undefined {
  return document && { items: [document.content], expiresAt: document.expiresAt };
}

function until(bytes: Uint8Array, expiresAt: Date | undefined): Endorsement | undefined {
  return expiresAt === undefined ? undefined : { items: [bytes], expiresAt };
}
