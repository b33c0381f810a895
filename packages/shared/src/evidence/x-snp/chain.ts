import { reason, type Reason, type ReasonCode } from '../../reasons.js';
import { select, type Check } from '../select.js';
import { isSignedByPss384, type VendorCertificate } from '../x509.js';
import { chipCertificateChecks, chipCertificateKind } from './chip-certificate.js';
import { pinnedRoots, products, type Product } from './product.js';
import type { SnpReport } from './report.js';

/** Certificates sorted by what their subjects say they are; unrelated ones are left out. */
export interface SnpCertificates {
  /** ARKs. */
  readonly roots: readonly VendorCertificate[];
  /** ASKs and ASVKs. */
  readonly intermediates: readonly VendorCertificate[];
  /** VCEKs and VLEKs. */
  readonly chips: readonly VendorCertificate[];
}

/** A chain whose every signature holds, down to a chip certificate that fits the report. */
export interface SnpChain {
  readonly product: Product;
  readonly root: VendorCertificate;
  readonly intermediate: VendorCertificate;
  readonly chip: VendorCertificate;
  /** True when the root is a simulated one. */
  readonly simulated: boolean;
}

/** Why there is no chain: something is missing, or something is wrong. */
export interface ChainFailure {
  readonly missing: boolean;
  readonly reason: Reason;
}

/** Critical extensions whose meaning is checked here: basicConstraints and keyUsage. */
const understoodExtensions = new Set(['2.5.29.19', '2.5.29.15']);

/** Sorts certificates by their subjects' common names. */
export function sortCertificates(certificates: readonly VendorCertificate[]): SnpCertificates {
  const isRoot = ({ commonName }: VendorCertificate): boolean => commonName.startsWith('ARK-');
  const isChip = (certificate: VendorCertificate): boolean => chipCertificateKind(certificate) !== undefined;
  return {
    roots: certificates.filter(isRoot),
    chips: certificates.filter(isChip),
    intermediates: certificates.filter(
      (certificate) => certificate.commonName.startsWith('SEV-') && !isChip(certificate),
    ),
  };
}

/**
 * Finds the chains from a trusted root to a chip certificate for the report. Several certificates may be candidates
 * for a place; one that does not fit never hides one that does. Usually one chain is found.
 */
export function findChains(
  report: SnpReport,
  product: Product,
  { roots, intermediates, chips }: SnpCertificates,
  { at, simulatedRoots }: { readonly at: Date; readonly simulatedRoots: readonly string[] },
): readonly [SnpChain, ...SnpChain[]] | ChainFailure {
  const isSimulated = ({ fingerprint }: VendorCertificate): boolean => simulatedRoots.includes(fingerprint);
  if (chips.length === 0) return absent('SNP_CHIP_CERTIFICATE_MISSING');

  const trusted = select(roots, [
    (root) =>
      root.fingerprint === pinnedRoots[product] || isSimulated(root) ? undefined : refuseRoot(root, product),
    (root) => (isSignedByPss384(root.signed, root.publicKey) ? undefined : chainSignature('ARK')),
    validAt(at, 'ARK'),
    (root) => (root.mayIssueCertificates ? undefined : constraints('ARK')),
    knownExtensions('ARK'),
  ]);
  if (trusted.passed.length === 0) return failed(trusted.failure, 'SNP_ROOT_MISSING');

  const { signingKey } = report;
  const name = signingKey === 'VCEK' ? 'ASK' : 'ASVK';
  const issuers = select(pairs(intermediates, trusted.passed), [
    ({ certificate }) => (isIssuerOf(signingKey, certificate) ? undefined : broken(signingKey)),
    ({ certificate, issuer }) => (certificate.issuer === issuer.subject ? undefined : broken(name)),
    ({ certificate, issuer }) =>
      isSignedByPss384(certificate.signed, issuer.publicKey) ? undefined : chainSignature(name),
    ({ certificate }) => validAt(at, name)(certificate),
    ({ certificate }) => (certificate.mayIssueCertificates ? undefined : constraints(name)),
    ({ certificate }) => knownExtensions(name)(certificate),
  ]);
  if (issuers.passed.length === 0) return failed(issuers.failure, 'SNP_INTERMEDIATE_MISSING');

  const bindings = chipCertificateChecks(report, product);
  const found = select(pairs(chips, issuers.passed), [
    ({ certificate }) =>
      chipCertificateKind(certificate) === signingKey ? undefined : reason('SNP_SIGNER_MISMATCH'),
    ({ certificate, issuer }) =>
      certificate.issuer === issuer.certificate.subject ? undefined : broken(signingKey),
    ({ certificate, issuer }) =>
      isSignedByPss384(certificate.signed, issuer.certificate.publicKey)
        ? undefined
        : chainSignature(signingKey),
    ({ certificate }) => validAt(at, signingKey)(certificate),
    ({ certificate }) => knownExtensions(signingKey)(certificate),
    ...bindings.map(
      (check) =>
        ({ certificate }: { certificate: VendorCertificate }) =>
          check(certificate),
    ),
  ]);
  if (found.passed.length === 0) return failed(found.failure, 'SNP_CHIP_CERTIFICATE_MISSING');
  const [first, ...rest] = found.passed.map(({ certificate, issuer }) => ({
    product,
    root: issuer.issuer,
    intermediate: issuer.certificate,
    chip: certificate,
    simulated: issuer.issuer.fingerprint !== pinnedRoots[product],
  }));
  return first === undefined ? absent('SNP_CHIP_CERTIFICATE_MISSING') : [first, ...rest];
}

/** VCEKs come from `SEV-<product>`, VLEKs from `SEV-VLEK-<product>`. */
function isIssuerOf(kind: 'VCEK' | 'VLEK', { commonName }: VendorCertificate): boolean {
  return commonName.startsWith('SEV-VLEK-') === (kind === 'VLEK');
}

function refuseRoot(root: VendorCertificate, product: Product): Reason {
  const other = products.find((candidate) => pinnedRoots[candidate] === root.fingerprint);
  if (other === undefined) return reason('SNP_ROOT_UNTRUSTED');
  return reason('SNP_ROOT_PRODUCT', {
    message: `The root is AMD's for ${other}; the report is from a ${product} processor.`,
  });
}

function validAt(at: Date, name: string): Check<VendorCertificate> {
  return ({ notBefore, notAfter }) => {
    if (!(at <= notAfter)) {
      return reason('SNP_CERTIFICATE_EXPIRED', {
        message: `The ${name} expired at ${notAfter.toISOString()}.`,
      });
    }
    if (!(at >= notBefore)) {
      return reason('SNP_CERTIFICATE_NOT_YET_VALID', {
        message: `The ${name} is valid from ${notBefore.toISOString()}.`,
      });
    }
    return undefined;
  };
}

function knownExtensions(name: string): Check<VendorCertificate> {
  return ({ criticalExtensions }) =>
    criticalExtensions.every((oid) => understoodExtensions.has(oid)) ? undefined : constraints(name);
}

function constraints(name: string): Reason {
  return reason('SNP_CERTIFICATE_CONSTRAINTS', {
    message: `The ${name} may not be used as it is, or has an unknown critical extension.`,
  });
}

function broken(name: string): Reason {
  return reason('SNP_CHAIN_BROKEN', { message: `The ${name} was not issued by the certificate above it.` });
}

function chainSignature(name: string): Reason {
  return reason('SNP_CHAIN_SIGNATURE', { message: `The signature on the ${name} does not hold.` });
}

function absent(code: ReasonCode): ChainFailure {
  return { missing: true, reason: reason(code) };
}

function failed(failure: Reason | undefined, code: ReasonCode): ChainFailure {
  return failure === undefined ? absent(code) : { missing: false, reason: failure };
}

function pairs<Issuer>(
  certificates: readonly VendorCertificate[],
  issuers: readonly Issuer[],
): readonly { readonly certificate: VendorCertificate; readonly issuer: Issuer }[] {
  return certificates.flatMap((certificate) => issuers.map((issuer) => ({ certificate, issuer })));
}
