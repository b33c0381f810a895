import { reason, type Reason } from '../../reasons.js';
import { select } from '../select.js';
import { isSignedByPss384, parseCrl, type VendorCertificate } from '../x509.js';
import type { SnpChain } from './chain.js';

/** What the revocation lists at hand say about a chain. */
export type RevocationOutcome =
  | { readonly checked: true }
  | { readonly checked: false; readonly absent: true }
  | { readonly checked: false; readonly absent: false; readonly reason: Reason };

/**
 * Checks a chain against the certificate revocation lists at hand, DER (RFC 5280, section 6.3). A list counts when
 * the chain's root issued and signed it and it is current. AMD's lists name what the root issued, ASKs and ASVKs; its
 * chip certificates all have serial number 0, by which none can be revoked.
 * An entry or list with a critical extension is refused, since it may be about other certificates than it seems.
 */
export function checkRevocation(
  { root, intermediate, chip }: SnpChain,
  crls: readonly Uint8Array[],
  at: Date,
): RevocationOutcome {
  if (crls.length === 0) return { checked: false, absent: true };
  const parsed = crls.flatMap((der) => parseCrl(der) ?? []);
  const current = select(parsed, [
    (crl) => (crl.issuer === root.subject ? undefined : reason('SNP_CRL_ISSUER')),
    (crl) =>
      root.mayIssueCrls && isSignedByPss384(crl.signed, root.publicKey)
        ? undefined
        : reason('SNP_CRL_SIGNATURE'),
    (crl) => (crl.thisUpdate <= at ? undefined : reason('SNP_CRL_NOT_YET_VALID')),
    ({ nextUpdate }) =>
      nextUpdate !== undefined && at <= nextUpdate ? undefined : reason('SNP_CRL_EXPIRED'),
    (crl) =>
      [crl, ...crl.revoked].every(({ criticalExtensions }) => criticalExtensions.length === 0)
        ? undefined
        : reason('SNP_CRL_UNSUPPORTED'),
  ]);
  if (current.passed.length === 0) {
    return { checked: false, absent: false, reason: current.failure ?? reason('SNP_CRL_UNREADABLE') };
  }
  const isRevoked = (certificate: VendorCertificate): boolean =>
    current.passed.some(({ revoked }) => revoked.some(({ serial }) => serial === certificate.serial));
  const hasSerial = ({ serial }: VendorCertificate): boolean => serial !== '0';
  const revoked = [root, intermediate, chip].filter(hasSerial).find(isRevoked);
  if (revoked === undefined) return { checked: true };
  return {
    checked: false,
    absent: false,
    reason: reason('SNP_CERTIFICATE_REVOKED', { message: `AMD revoked ${revoked.commonName}.` }),
  };
}
