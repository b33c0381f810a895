import { createHash, X509Certificate } from 'node:crypto';
import { refusal } from '../errors.js';

/** More CAs than this are never needed at once. */
const maxRoots = 8;

/** Names a set of CA certificates (DER), whatever their order: SHA-256 over the sorted SHA-256 of each, hex. */
export function trustBundleDigest(certificates: readonly Uint8Array[]): string {
  const digests = certificates.map((der) => createHash('sha256').update(der).digest('hex'));
  return createHash('sha256').update(digests.toSorted().join('')).digest('hex');
}

/**
 * Reads the CA certificates (DER) of a trust domain. Each must be a CA that signed itself and names the trust domain.
 * Errors: TRUST_BUNDLE_INVALID.
 */
export function readTrustBundle(
  certificates: readonly Uint8Array[],
  trustDomain: string,
): readonly X509Certificate[] {
  if (certificates.length === 0 || certificates.length > maxRoots) throw refusal('TRUST_BUNDLE_INVALID');
  return certificates.map((der) => {
    const root = parse(der);
    const isRoot = root.ca && root.checkIssued(root) && root.verify(root.publicKey);
    if (isRoot && root.subjectAltName === `URI:spiffe://${trustDomain}`) return root;
    throw refusal('TRUST_BUNDLE_INVALID');
  });
}

function parse(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (cause) {
    throw refusal('TRUST_BUNDLE_INVALID', {}, cause);
  }
}
