import { pinnedRoots, productOfName, products, type Product } from '../../evidence/x-snp/product.js';
import { isSignedByPss384, parseCertificate, parseCrl, type VendorCertificate } from '../../evidence/x509.js';
import type { Reason } from '../../reasons.js';
import { outOfTime, untrusted, type Answer, type AnswerCheck, type CheckOptions } from './answer.js';
import { isCurrent, isIssuedByOne, trustedAmong, type Trust } from './trust.js';

/**
 * Checks AMD's answers among themselves: every certificate chains to the pinned ARK of the product that its path names,
 * and that ARK signed the revocation list.
 */
export function amdCheck(answers: readonly Answer[], options: CheckOptions): AnswerCheck {
  const certificates = answers
    .filter(({ query }) => query.kind === 'certificates')
    .flatMap(({ found }) => found.items.flatMap((der) => parseCertificate(der) ?? []));
  const trusts = new Map(products.map((product) => [product, trustOf(product, certificates, options)]));
  return (answer) => {
    const product = productOfName(answer.query.path.split('/')[2] ?? '');
    const trust = product && trusts.get(product);
    if (trust === undefined) return untrusted(answer, 'no product of AMD has this name');
    return answer.query.kind === 'crl'
      ? listRefusal(answer, trust, options.at)
      : certificatesRefusal(answer, trust, options.at);
  };
}

interface ProductTrust extends Trust {
  readonly trusted: ReadonlySet<VendorCertificate>;
}

function trustOf(
  product: Product,
  certificates: readonly VendorCertificate[],
  { at, simulatedRoots }: CheckOptions,
): ProductTrust {
  const trust: Trust = {
    isRoot: ({ fingerprint }) => fingerprint === pinnedRoots[product] || simulatedRoots.includes(fingerprint),
    isSigned: isSignedByPss384,
    at,
  };
  return { ...trust, trusted: trustedAmong(certificates, trust) };
}

function listRefusal(answer: Answer, trust: ProductTrust, at: Date): Reason | undefined {
  const crl = parseCrl(answer.found.items[0] ?? new Uint8Array());
  if (crl === undefined || !isIssuedByOne(crl, trust.trusted, trust)) {
    return untrusted(answer, 'the root that signed it is not among the certificates, or did not sign it');
  }
  return crl.thisUpdate <= at && at <= answer.found.expiresAt
    ? undefined
    : outOfTime(answer, 'the revocation list is not current');
}

function certificatesRefusal(answer: Answer, { trusted }: ProductTrust, at: Date): Reason | undefined {
  const own = answer.found.items.flatMap((der) => parseCertificate(der) ?? []);
  if (!own.every((certificate) => isCurrent(certificate, at))) {
    return outOfTime(answer, 'a certificate is not valid at this time');
  }
  return own.length > 0 && own.every((certificate) => trusted.has(certificate))
    ? undefined
    : untrusted(answer, "a certificate does not chain to AMD's root for the product");
}
