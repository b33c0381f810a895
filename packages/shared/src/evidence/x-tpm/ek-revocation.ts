import { reason, type Reason } from '../../reasons.js';
import type { EndorsementQuery, Endorsements } from '../appraisal.js';
import { select } from '../select.js';
import {
  isSignedBySha2,
  parseCertificate,
  parseCrl,
  type VendorCertificate,
  type VendorCrl,
} from '../x509.js';
import { possibleIssuers, type EkChain } from './ek-chain.js';

/** What the lists at hand say: the issuers that none is there of, and what is wrong with lists or revoked by them. */
export interface EkRevocation {
  readonly missing: readonly Reason[];
  readonly refusals: readonly Reason[];
}

/**
 * The revocation lists of the makers of the TPM whose certificates are at hand. No service of a maker is asked for them:
 * `crl/<SHA-256 of the issuer's SubjectPublicKeyInfo, hex>` below `tpm` of the offline directory has them.
 */
export function ekCrlQueries({ certificates, crls }: Endorsements): readonly EndorsementQuery[] {
  const parsed = certificates.flatMap((der) => parseCertificate(der) ?? []);
  const known = new Set(crls.map((der) => parseCrl(der)?.issuer));
  return possibleIssuers(parsed)
    .filter(({ subject }) => !known.has(subject))
    .map(({ fingerprint }) => ({ vendor: 'tpm', kind: 'crl', path: `crl/${fingerprint}` }));
}

/**
 * Checks the certificate of an endorsement key and those above it, but not the trusted one, against the revocation lists
 * at hand, DER (RFC 5280, section 6.3): each issuer has a list of its own. An entry or list with a critical extension
 * is refused, since it may be about other certificates than it seems.
 */
export function checkEkRevocation(
  { ek, issuers }: EkChain,
  crls: readonly Uint8Array[],
  at: Date,
): EkRevocation {
  const lists = crls.flatMap((der) => parseCrl(der) ?? []);
  const found = issuers.map((issuer, index) => {
    const certificate = index === 0 ? ek : issuers[index - 1];
    return checkIssued(certificate ?? ek, issuer, lists, at);
  });
  return {
    missing: found.flatMap(({ missing }) => missing),
    refusals: found.flatMap(({ refusals }) => refusals),
  };
}

function checkIssued(
  certificate: VendorCertificate,
  issuer: VendorCertificate,
  lists: readonly VendorCrl[],
  at: Date,
): EkRevocation {
  const own = lists.filter((list) => list.issuer === issuer.subject);
  const name = issuer.commonName;
  if (own.length === 0) {
    const message = `There is no revocation list of "${name}" (key ${issuer.fingerprint}).`;
    return { missing: [reason('TPM_EK_CRL_MISSING', { message })], refusals: [] };
  }
  const { passed, failure } = select(own, [
    ({ signed }) =>
      issuer.mayIssueCrls && isSignedBySha2(signed, issuer.publicKey)
        ? undefined
        : reason('TPM_EK_CRL_SIGNATURE', {
            message: `The signature on the revocation list of "${name}" does not hold.`,
          }),
    ({ thisUpdate, nextUpdate }) =>
      thisUpdate <= at && nextUpdate !== undefined && at <= nextUpdate
        ? undefined
        : reason('TPM_EK_CRL_EXPIRED', { message: `The revocation list of "${name}" is not of this time.` }),
    (list) =>
      [list, ...list.revoked].every(({ criticalExtensions }) => criticalExtensions.length === 0)
        ? undefined
        : reason('TPM_EK_CRL_UNSUPPORTED'),
  ]);
  if (passed.length === 0) return { missing: [], refusals: failure === undefined ? [] : [failure] };
  const isRevoked = passed.some(({ revoked }) => revoked.some(({ serial }) => serial === certificate.serial));
  const message = `"${name}" revoked the certificate ${certificate.serial}.`;
  return { missing: [], refusals: isRevoked ? [reason('TPM_EK_REVOKED', { message })] : [] };
}
