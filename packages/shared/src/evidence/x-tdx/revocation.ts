import { perObject } from '../../memo.js';
import { reason, type Reason } from '../../reasons.js';
import { select } from '../select.js';
import { isSignedByP256, parseCrl, type VendorCertificate, type VendorCrl } from '../x509.js';
import type { PckChain } from './chain.js';

/** What the lists at hand say: that a list is missing, and what is wrong with them or revoked by them. */
export interface RevocationOutcome {
  readonly missing: readonly Reason[];
  readonly refusals: readonly Reason[];
}

/**
 * Checks a PCK chain and the signers of TCB information against the certificate revocation lists at hand, DER
 * (RFC 5280, section 6.3): the root's list revokes PCK CAs and signers, the PCK CA's list revokes PCKs. Both are
 * needed. An entry or list with a critical extension is refused, since it may be about other certificates than it
 * seems.
 */
export function checkRevocation(
  { root, pckCa, pck }: PckChain,
  signers: readonly VendorCertificate[],
  crls: readonly Uint8Array[],
  at: Date,
): RevocationOutcome {
  const parsed = crls.map(parseCrl);
  const lists = parsed.filter((crl) => crl !== undefined);
  const isForeign = ({ issuer }: VendorCrl): boolean => issuer !== root.subject && issuer !== pckCa.subject;
  const ofRoot = checkIssued(root, [root, pckCa, ...signers], lists, at);
  const ofPckCa = checkIssued(pckCa, [pck], lists, at);
  const missing = [...ofRoot.missing, ...ofPckCa.missing];
  return {
    missing,
    refusals: [
      ...(parsed.includes(undefined) ? [reason('TDX_CRL_UNREADABLE')] : []),
      ...(missing.length > 0 && lists.some(isForeign) ? [reason('TDX_CRL_ISSUER')] : []),
      ...ofRoot.refusals,
      ...ofPckCa.refusals,
    ],
  };
}

function checkIssued(
  issuer: VendorCertificate,
  certificates: readonly VendorCertificate[],
  lists: readonly VendorCrl[],
  at: Date,
): RevocationOutcome {
  const own = lists.filter((list) => list.issuer === issuer.subject);
  const name = issuer.commonName;
  if (own.length === 0) {
    const message = `There is no certificate revocation list of the ${name}.`;
    return { missing: [reason('TDX_CRL_MISSING', { message })], refusals: [] };
  }
  const { passed, failure } = select(own, [
    ({ signed }) =>
      issuer.mayIssueCrls && isSignedByP256(signed, issuer.publicKey)
        ? undefined
        : reason('TDX_CRL_SIGNATURE', {
            message: `The signature on the revocation list of the ${name} does not hold.`,
          }),
    ({ thisUpdate }) =>
      thisUpdate <= at
        ? undefined
        : reason('TDX_CRL_NOT_YET_VALID', {
            message: `The revocation list of the ${name} is from ${thisUpdate.toISOString()}.`,
          }),
    ({ nextUpdate }) =>
      nextUpdate !== undefined && at <= nextUpdate
        ? undefined
        : reason('TDX_CRL_EXPIRED', {
            message: `The revocation list of the ${name} ended at ${nextUpdate?.toISOString() ?? 'no stated time'}.`,
          }),
    (list) => (contentOf(list).isUnderstood ? undefined : reason('TDX_CRL_UNSUPPORTED')),
  ]);
  if (passed.length === 0) return { missing: [], refusals: failure === undefined ? [] : [failure] };
  return {
    missing: [],
    refusals: certificates
      .filter(({ serial }) => passed.some((list) => contentOf(list).serials.has(serial)))
      .map(({ commonName }) =>
        reason('TDX_CERTIFICATE_REVOKED', { message: `Intel revoked this ${commonName}.` }),
      ),
  };
}

/** What a list revokes, and whether every part of it is understood. Lists have up to thousands of entries. */
const contentOf = perObject((list: VendorCrl) => ({
  serials: new Set(list.revoked.map(({ serial }) => serial)),
  isUnderstood: [list, ...list.revoked].every(({ criticalExtensions }) => criticalExtensions.length === 0),
}));
