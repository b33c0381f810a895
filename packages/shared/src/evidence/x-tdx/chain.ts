import { reason, type Reason } from '../../reasons.js';
import { select, type Check } from '../select.js';
import {
  isP256,
  isSignedByP256,
  parseCertificate,
  splitCertificates,
  type VendorCertificate,
} from '../x509.js';
import { readPckPlatform, type PckPlatform } from './pck-extension.js';
import { splitPckChain } from './pem-chain.js';

/** SHA-256 over the SubjectPublicKeyInfo of the Intel SGX Root CA. */
export const intelRoot = 'a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e';

/** The common names by which Intel's certificates say what they are for (Intel SGX PCK Certificate Profile). */
const names = {
  root: ['Intel SGX Root CA'],
  pckCa: ['Intel SGX PCK Platform CA', 'Intel SGX PCK Processor CA'],
  pck: ['Intel SGX PCK Certificate'],
  tcbSigning: ['Intel SGX TCB Signing'],
} as const;

/** More than any honest set: bounds the signatures that a hostile one makes the verifier compute. */
const maxCertificates = 32;

/** Critical extensions whose meaning is checked here: basicConstraints and keyUsage. */
const understoodExtensions = new Set(['2.5.29.19', '2.5.29.15']);

/** Certificates of all sources, by what their subjects say they are; unrelated ones are left out. */
export type TdxCertificates = { readonly [Role in keyof typeof names]: readonly VendorCertificate[] };

/** What certificates are trusted by. */
export interface Trust {
  readonly at: Date;
  /** Fingerprints of simulated roots. */
  readonly simulatedRoots: readonly string[];
}

/** The chain of the key that vouches for a platform's quoting enclave; every signature in it holds. */
export interface PckChain {
  readonly root: VendorCertificate;
  readonly pckCa: VendorCertificate;
  readonly pck: VendorCertificate;
  readonly platform: PckPlatform;
  /** True when the root is a simulated one. */
  readonly simulated: boolean;
}

/** Reads the certificates of a quote and those at hand, each once, and sorts them; a reason when one is unreadable. */
export function collectCertificates(
  pckChain: Uint8Array,
  atHand: readonly Uint8Array[],
): TdxCertificates | Reason {
  const own = splitPckChain(pckChain);
  const others = atHand.map(splitCertificates);
  if (own === undefined || others.includes(undefined)) return reason('TDX_CERTIFICATE_UNREADABLE');
  const ders = [...own, ...others.flatMap((split) => split ?? [])];
  const distinct = new Map(ders.map((der) => [Buffer.from(der).toString('base64'), der]));
  if (distinct.size > maxCertificates) return reason('TDX_CERTIFICATES_EXCESSIVE');
  const parsed = [...distinct.values()].map(parseCertificate);
  const certificates = parsed.filter((certificate) => certificate !== undefined);
  if (certificates.length < parsed.length) return reason('TDX_CERTIFICATE_UNREADABLE');
  const named = (role: keyof typeof names): readonly VendorCertificate[] =>
    certificates.filter(({ commonName }) => names[role].some((name) => name === commonName));
  return {
    root: named('root'),
    pckCa: named('pckCa'),
    pck: named('pck'),
    tcbSigning: named('tcbSigning'),
  };
}

/** Finds the chain from a trusted root to the platform's PCK. An unfit candidate never hides a fit one. */
export function findPckChain(certificates: TdxCertificates, trust: Trust): PckChain | Reason {
  const roots = trustedRoots(certificates.root, trust);
  if ('code' in roots) return roots;
  const authorities = select(pairs(certificates.pckCa, roots), [
    ...issuedChecks('PCK CA', trust.at),
    ({ certificate }) => (certificate.mayIssueCertificates ? undefined : constraints('PCK CA')),
  ]);
  const [authority] = authorities.passed;
  if (authority === undefined) return authorities.failure ?? incomplete('PCK CA');
  const leaves = select(
    pairs(
      certificates.pck,
      authorities.passed.map(({ certificate }) => certificate),
    ),
    [
      ...issuedChecks('PCK', trust.at),
      ({ certificate }) => (isP256(certificate.publicKey) ? undefined : constraints('PCK')),
      ({ certificate }) =>
        readPckPlatform(certificate.extensions) === undefined ? reason('TDX_PCK_EXTENSION') : undefined,
    ],
  );
  const [leaf] = leaves.passed;
  const platform = leaf === undefined ? undefined : readPckPlatform(leaf.certificate.extensions);
  const root = authorities.passed.find(({ certificate }) => certificate === leaf?.issuer)?.issuer;
  if (leaf === undefined || platform === undefined || root === undefined) {
    return leaves.failure ?? incomplete('PCK');
  }
  return {
    root,
    pckCa: leaf.issuer,
    pck: leaf.certificate,
    platform,
    simulated: root.fingerprint !== intelRoot,
  };
}

/**
 * The certificates whose keys sign TCB information below the root of the platform itself: a simulated root vouches for
 * simulated platforms only. A reason when there are some, and none is fit.
 */
export function findTcbSigners(
  { tcbSigning }: TdxCertificates,
  root: VendorCertificate,
  at: Date,
): readonly VendorCertificate[] | Reason {
  const { passed, failure } = select(pairs(tcbSigning, [root]), [
    ...issuedChecks('TCB signing certificate', at),
    ({ certificate }) => (isP256(certificate.publicKey) ? undefined : constraints('TCB signing certificate')),
  ]);
  if (passed.length === 0 && failure !== undefined) return failure;
  return passed.map(({ certificate }) => certificate);
}

function trustedRoots(
  candidates: readonly VendorCertificate[],
  { at, simulatedRoots }: Trust,
): readonly VendorCertificate[] | Reason {
  const { passed, failure } = select(candidates, [
    ({ fingerprint }) =>
      fingerprint === intelRoot || simulatedRoots.includes(fingerprint)
        ? undefined
        : reason('TDX_ROOT_UNTRUSTED'),
    (root) => (isSignedByP256(root.signed, root.publicKey) ? undefined : chainSignature('root')),
    validAt(at, 'root'),
    (root) => (root.mayIssueCertificates ? undefined : constraints('root')),
    knownExtensions('root'),
  ]);
  return passed.length > 0 ? passed : (failure ?? incomplete('root'));
}

interface Link {
  readonly certificate: VendorCertificate;
  readonly issuer: VendorCertificate;
}

function issuedChecks(name: string, at: Date): readonly Check<Link>[] {
  return [
    ({ certificate, issuer }) =>
      certificate.issuer === issuer.subject
        ? undefined
        : reason('TDX_CHAIN_BROKEN', {
            message: `The ${name} was not issued by the certificate above it.`,
          }),
    ({ certificate, issuer }) =>
      isSignedByP256(certificate.signed, issuer.publicKey) ? undefined : chainSignature(name),
    ({ certificate }) => validAt(at, name)(certificate),
    ({ certificate }) => knownExtensions(name)(certificate),
  ];
}

function validAt(at: Date, name: string): Check<VendorCertificate> {
  return ({ notBefore, notAfter }) => {
    if (!(at <= notAfter)) {
      return reason('TDX_CERTIFICATE_EXPIRED', {
        message: `The ${name} expired at ${notAfter.toISOString()}.`,
      });
    }
    if (!(at >= notBefore)) {
      return reason('TDX_CERTIFICATE_NOT_YET_VALID', {
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
  return reason('TDX_CERTIFICATE_CONSTRAINTS', {
    message: `The ${name} may not be used as it is, or has an unknown critical extension.`,
  });
}

function chainSignature(name: string): Reason {
  return reason('TDX_CHAIN_SIGNATURE', { message: `The signature on the ${name} does not hold.` });
}

function incomplete(name: string): Reason {
  return reason('TDX_CHAIN_INCOMPLETE', { message: `The quote's chain has no ${name}.` });
}

function pairs(
  certificates: readonly VendorCertificate[],
  issuers: readonly VendorCertificate[],
): readonly Link[] {
  return certificates.flatMap((certificate) => issuers.map((issuer) => ({ certificate, issuer })));
}
