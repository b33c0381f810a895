import { BasicConstraints, KeyUsage, KeyUsageFlags } from '@peculiar/asn1-x509';
import { perObject } from '../../memo.js';
import { readExtension, isP384, isSignedByP384, type VendorCertificate } from '../x509.js';

/** What is wrong with a chain, and with which certificate of it: 0 is the end entity's. */
export interface ChainFault {
  readonly kind: 'root' | 'broken' | 'signature' | 'expired' | 'not-yet-valid' | 'constraints' | 'key';
  readonly index: number;
  readonly certificate: VendorCertificate;
}

const keyUsageOid = '2.5.29.15';
const basicConstraintsOid = '2.5.29.19';

/**
 * Critical extensions that are understood: keyUsage, basicConstraints, and those that only describe: subjectAltName,
 * extKeyUsage, and TCG DICE's identifiers and TCB information.
 */
const understoodExtensions = new Set([
  keyUsageOid,
  basicConstraintsOid,
  '2.5.29.17',
  '2.5.29.37',
  '2.23.133.5.4.1',
  '2.23.133.5.4.1.1',
  '2.23.133.5.4.4',
]);

/**
 * Checks a chain, the end entity's certificate first and a trusted root last: each is issued and signed by the next, is
 * valid at the time, has a P-384 key, and may do what it does (RFC 5280, section 6.1).
 */
export function chainFault(
  chain: readonly VendorCertificate[],
  { at, isTrusted }: { readonly at: Date; readonly isTrusted: (root: VendorCertificate) => boolean },
): ChainFault | undefined {
  const root = chain.at(-1);
  if (root !== undefined && !isTrusted(root)) {
    return { kind: 'root', index: chain.length - 1, certificate: root };
  }
  for (const [index, certificate] of [...chain.entries()].toReversed()) {
    const kind = linkFault(certificate, chain[index + 1] ?? certificate, at) ?? useFault(certificate, index);
    if (kind !== undefined) return { kind, index, certificate };
  }
  return undefined;
}

/** What is wrong with a certificate as one that this issuer issued. */
export function linkFault(
  certificate: VendorCertificate,
  issuer: VendorCertificate,
  at: Date,
): ChainFault['kind'] | undefined {
  if (certificate.issuer !== issuer.subject) return 'broken';
  if (!isP384(certificate.publicKey)) return 'key';
  if (!isSignedByP384(certificate.signed, issuer.publicKey)) return 'signature';
  if (!(at <= certificate.notAfter)) return 'expired';
  return at >= certificate.notBefore ? undefined : 'not-yet-valid';
}

/** What is wrong with a certificate for its place in a chain, 0 being the end entity's. */
export function useFault(certificate: VendorCertificate, index: number): 'constraints' | undefined {
  if (!certificate.criticalExtensions.every((oid) => understoodExtensions.has(oid))) return 'constraints';
  const isFit =
    index === 0
      ? maySign(certificate)
      : certificate.mayIssueCertificates && index - 1 <= pathLength(certificate);
  return isFit ? undefined : 'constraints';
}

/** Whether a certificate's key may sign data: keyUsage, where it is there, says digitalSignature. */
const maySign = perObject((certificate: VendorCertificate): boolean => {
  if (!certificate.extensions.has(keyUsageOid)) return true;
  const usage = readExtension(certificate, keyUsageOid, KeyUsage)?.toNumber() ?? 0;
  return (usage & KeyUsageFlags.digitalSignature) !== 0;
});

/** How many intermediate certificates may be below a certificate: pathLenConstraint, where it is there. */
const pathLength = perObject((certificate: VendorCertificate): number => {
  const constraints = readExtension(certificate, basicConstraintsOid, BasicConstraints);
  return constraints === undefined ? -1 : (constraints.pathLenConstraint ?? Infinity);
});
