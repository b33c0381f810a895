import { reason, type Reason } from '../../reasons.js';
import { remembered } from '../remember.js';
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

/** Chains that are kept as they were read. */
const rememberedChains = 512;

/** Critical extensions whose meaning is checked here: basicConstraints and keyUsage. */
const understoodExtensions = new Set(['2.5.29.19', '2.5.29.15']);

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

/**
 * Verifies the chain that a quote carries: the platform's PCK, its PCK CA and a trusted root, and nothing else. Other
 * certificates do not take the place of one of these, so that no byte of the chain is without meaning.
 */
export function verifyPckChain(pem: Uint8Array, { at, simulatedRoots }: Trust): PckChain | Reason {
  const certificates = readPckChain(pem);
  if (certificates === undefined) return reason('TDX_CERTIFICATE_UNREADABLE');
  const [root, pckCa, pck] = (['root', 'pckCa', 'pck'] as const).map((role) =>
    certificates.find(isNamed(role)),
  );
  if (root === undefined) return incomplete('root');
  if (pckCa === undefined) return incomplete('PCK CA');
  if (pck === undefined) return incomplete('PCK');
  if (certificates.length > 3) return reason('TDX_CERTIFICATES_EXCESSIVE');
  const failure =
    select([root], rootChecks(at, simulatedRoots)).failure ??
    select([{ certificate: pckCa, issuer: root }], [...issuedChecks('PCK CA', at), mayIssue('PCK CA')])
      .failure ??
    select([{ certificate: pck, issuer: pckCa }], [...issuedChecks('PCK', at), hasP256Key('PCK')]).failure;
  if (failure !== undefined) return failure;
  const platform = readPckPlatform(pck.extensions);
  if (platform === undefined) return reason('TDX_PCK_EXTENSION');
  return { root, pckCa, pck, platform, simulated: root.fingerprint !== intelRoot };
}

/**
 * The certificates at hand whose keys sign TCB information, below the root of the platform itself: a simulated root
 * vouches for simulated platforms only. Unrelated certificates are ignored; a reason when there are some, and none of
 * them is fit.
 */
export function findTcbSigners(
  atHand: readonly Uint8Array[],
  root: VendorCertificate,
  at: Date,
): readonly VendorCertificate[] | Reason {
  const split = atHand.map(splitCertificates);
  if (split.includes(undefined)) return reason('TDX_CERTIFICATE_UNREADABLE');
  const ders = split.flatMap((ders) => ders ?? []);
  const distinct = new Map(ders.map((der) => [Buffer.from(der).toString('base64'), der]));
  if (distinct.size > maxCertificates) return reason('TDX_CERTIFICATES_EXCESSIVE');
  const certificates = parseAll([...distinct.values()]);
  if (certificates === undefined) return reason('TDX_CERTIFICATE_UNREADABLE');
  const name = 'TCB signing certificate';
  const candidates = certificates
    .filter(isNamed('tcbSigning'))
    .map((certificate) => ({ certificate, issuer: root }));
  const { passed, failure } = select(candidates, [...issuedChecks(name, at), hasP256Key(name)]);
  if (passed.length === 0 && failure !== undefined) return failure;
  return passed.map(({ certificate }) => certificate);
}

/** A platform's chain is the same in all of its quotes. */
const readPckChain = remembered((pem) => parseAll(splitPckChain(pem)), rememberedChains);

/** Reads certificates; undefined when one of them cannot be read. */
function parseAll(ders: readonly Uint8Array[] | undefined): readonly VendorCertificate[] | undefined {
  const parsed = ders?.map(parseCertificate);
  const certificates = parsed?.filter((certificate) => certificate !== undefined);
  return certificates?.length === parsed?.length ? certificates : undefined;
}

function isNamed(role: keyof typeof names): (certificate: VendorCertificate) => boolean {
  return ({ commonName }) => names[role].some((name) => name === commonName);
}

function rootChecks(at: Date, simulatedRoots: readonly string[]): readonly Check<VendorCertificate>[] {
  return [
    ({ fingerprint }) =>
      fingerprint === intelRoot || simulatedRoots.includes(fingerprint)
        ? undefined
        : reason('TDX_ROOT_UNTRUSTED'),
    (root) => (isSignedByP256(root.signed, root.publicKey) ? undefined : chainSignature('root')),
    validAt(at, 'root'),
    (root) => (root.mayIssueCertificates ? undefined : constraints('root')),
    knownExtensions('root'),
  ];
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

function mayIssue(name: string): Check<Link> {
  return ({ certificate }) => (certificate.mayIssueCertificates ? undefined : constraints(name));
}

function hasP256Key(name: string): Check<Link> {
  return ({ certificate }) => (isP256(certificate.publicKey) ? undefined : constraints(name));
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
