import type { KeyObject } from 'node:crypto';
import type { SignedData, VendorCertificate, VendorCrl } from '../../evidence/x509.js';

/** How the chains of a vendor are checked. */
export interface Trust {
  readonly isRoot: (certificate: VendorCertificate) => boolean;
  readonly isSigned: (signed: SignedData, key: KeyObject) => boolean;
  readonly at: Date;
}

/** A root, an intermediate certificate, and what that issued. */
const longestChain = 3;

/** Critical extensions whose meaning is checked here: basicConstraints and keyUsage. */
const understoodExtensions = new Set(['2.5.29.19', '2.5.29.15']);

/** The certificates that chain to a trusted root by issuer, signature and dates (RFC 5280, section 6.1). */
export function trustedAmong(
  certificates: readonly VendorCertificate[],
  { isRoot, isSigned, at }: Trust,
): ReadonlySet<VendorCertificate> {
  const candidates = certificates.filter(
    (certificate) =>
      isCurrent(certificate, at) &&
      certificate.criticalExtensions.every((oid) => understoodExtensions.has(oid)),
  );
  const roots = candidates.filter((root) => isRoot(root) && isSigned(root.signed, root.publicKey));
  const trusted = new Set(roots);
  for (let length = 1; length < longestChain; length += 1) {
    const issuers = [...trusted].filter(({ mayIssueCertificates }) => mayIssueCertificates);
    for (const certificate of candidates) {
      const isIssued = issuers.some(
        ({ subject, publicKey }) => certificate.issuer === subject && isSigned(certificate.signed, publicKey),
      );
      if (isIssued) trusted.add(certificate);
    }
  }
  return trusted;
}

/** Whether a time is within a certificate's validity. */
export function isCurrent({ notBefore, notAfter }: VendorCertificate, at: Date): boolean {
  return at >= notBefore && at <= notAfter;
}

/** Whether one of the certificates issued and signed a revocation list (RFC 5280, section 6.3). */
export function isIssuedByOne(
  crl: VendorCrl,
  issuers: Iterable<VendorCertificate>,
  { isSigned }: Trust,
): boolean {
  return [...issuers].some(
    ({ subject, mayIssueCrls, publicKey }) =>
      mayIssueCrls && crl.issuer === subject && isSigned(crl.signed, publicKey),
  );
}
