import type { EndorsementQuery } from '../evidence/appraisal.js';
import { parseCertificate, parseCrl, splitCertificates } from '../evidence/x509.js';

/** What a query was answered with, readable but not verified: verification is the verifier's work. */
export interface Endorsement {
  /** DER: certificates, or one certificate revocation list. */
  readonly items: readonly Uint8Array[];
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
}

/** Reads an answer; undefined when it is not what was asked for, such as the page of a proxy. */
export function readEndorsement(kind: EndorsementQuery['kind'], bytes: Uint8Array): Endorsement | undefined {
  if (kind === 'crl') {
    const crl = parseCrl(bytes);
    return crl?.nextUpdate === undefined ? undefined : { items: [bytes], expiresAt: crl.nextUpdate };
  }
  const items = splitCertificates(bytes) ?? [];
  const expiries = items.map((der) => parseCertificate(der)?.notAfter.getTime() ?? Number.NaN);
  const expiresAt = new Date(Math.min(...expiries));
  return items.length === 0 || Number.isNaN(expiresAt.getTime()) ? undefined : { items, expiresAt };
}
