import { AsnConvert } from '@peculiar/asn1-schema';
import {
  BasicConstraints,
  ExtendedKeyUsage,
  KeyUsage,
  KeyUsageFlags,
  SubjectAlternativeName,
} from '@peculiar/asn1-x509';
import { reason, type Reason } from '../../reasons.js';
import { select, type Check } from '../select.js';
import { isSignedBySha2, type VendorCertificate } from '../x509.js';

/** The certificate of an endorsement key, and those above it: its issuer first, the trusted one last. */
export interface EkChain {
  readonly ek: VendorCertificate;
  readonly issuers: readonly [VendorCertificate, ...VendorCertificate[]];
}

/** The longest chain above an endorsement key, and how many issuers of one name are tried. */
const [maxIssuers, maxNamesakes] = [5, 4];
const ekPurpose = '2.23.133.8.1';
const oids = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  extendedKeyUsage: '2.5.29.37',
} as const;
/** Critical extensions whose meaning is checked here, or that only describe. */
const understoodExtensions: ReadonlySet<string> = new Set(Object.values(oids));
/** What a certificate says of its TPM (TCG EK Credential Profile, section 3.1.2), by object identifier. */
const tpmAttributes = {
  '2.23.133.2.1': 'tpm_manufacturer',
  '2.23.133.2.2': 'tpm_model',
  '2.23.133.2.3': 'tpm_version',
} as const;

/**
 * Finds the chain from the certificate of an endorsement key, named by its fingerprint, to an issuer that is trusted by
 * its key (TCG EK Credential Profile for TPM 2.0; RFC 5280, section 6.1).
 */
export function findEkChain(
  fingerprint: string,
  certificates: readonly VendorCertificate[],
  { at, isTrusted }: { readonly at: Date; readonly isTrusted: (issuer: VendorCertificate) => boolean },
): EkChain | Reason {
  const candidates = select(
    certificates.filter((certificate) => certificate.fingerprint === fingerprint),
    [(candidate) => (isFitEk(candidate) ? undefined : constraints(candidate)), validAt(at)],
  );
  const climbs = candidates.passed.map((ek) => {
    const issuers = climb([ek], certificates, at, isTrusted);
    return 'code' in issuers ? issuers : { ek, issuers };
  });
  return (
    climbs.find((found) => 'ek' in found) ??
    climbs[0] ??
    candidates.failure ??
    reason('TPM_EK_CERTIFICATE_MISSING')
  );
}

/** Every certificate that may stand above an endorsement key's, by names alone: whose revocation lists are wanted. */
export function possibleIssuers(certificates: readonly VendorCertificate[]): readonly VendorCertificate[] {
  const above = new Set<VendorCertificate>();
  let level: readonly VendorCertificate[] = certificates.filter((certificate) => isForEk(certificate));
  for (let depth = 0; depth < maxIssuers; depth += 1) {
    level = level.flatMap((below) => issuersOf(below, certificates)).filter((issuer) => !above.has(issuer));
    for (const issuer of level) above.add(issuer);
  }
  return [...above];
}

/** What the certificate of an endorsement key says of its TPM; empty where it says nothing. */
export function tpmClaims({ extensions }: VendorCertificate): Readonly<Record<string, string>> {
  const attributes = (parse(extensions.get(oids.subjectAltName), SubjectAlternativeName) ?? [])
    .flatMap(({ directoryName }) => directoryName ?? [])
    .flatMap((set) => [...set])
    .flatMap(({ type, value: text }) => {
      const name = (tpmAttributes as Readonly<Record<string, string>>)[type];
      return name === undefined ? [] : [[name, text.toString()] as const];
    });
  return Object.fromEntries(attributes);
}

/** The issuers above the last certificate of a path, up to a trusted one. */
function climb(
  path: readonly [VendorCertificate, ...VendorCertificate[]],
  certificates: readonly VendorCertificate[],
  at: Date,
  isTrusted: (issuer: VendorCertificate) => boolean,
): EkChain['issuers'] | Reason {
  const last = path.at(-1) ?? path[0];
  const intermediates = path.length - 1;
  const candidates = issuersOf(last, certificates);
  if (candidates.length === 0 || intermediates === maxIssuers) {
    return reason('TPM_EK_CHAIN_BROKEN', {
      message: `The certificate of the issuer "${last.issuerCommonName}" is not at hand.`,
    });
  }
  const { passed, failure } = select(candidates, [
    (issuer) =>
      isSignedBySha2(last.signed, issuer.publicKey)
        ? undefined
        : reason('TPM_EK_CHAIN_SIGNATURE', {
            message: `The signature on the certificate "${last.commonName}" does not hold.`,
          }),
    (issuer) =>
      issuer.mayIssueCertificates && allowsBelow(issuer, intermediates) && isUnderstood(issuer)
        ? undefined
        : constraints(issuer),
    validAt(at),
  ]);
  let refusal = failure;
  for (const issuer of passed) {
    if (isTrusted(issuer)) return [issuer];
    if (issuer.subject === issuer.issuer) {
      refusal = reason('TPM_EK_ROOT_UNTRUSTED', {
        message: `The TPM's maker is "${issuer.commonName}" (key ${issuer.fingerprint}), which is not among ek_roots.`,
      });
      continue;
    }
    const above = climb([...path, issuer], certificates, at, isTrusted);
    if (!('code' in above)) return [issuer, ...above];
    refusal = above;
  }
  return refusal ?? reason('TPM_EK_CHAIN_BROKEN');
}

function issuersOf(
  { issuer }: VendorCertificate,
  certificates: readonly VendorCertificate[],
): readonly VendorCertificate[] {
  return certificates.filter(({ subject }) => subject === issuer).slice(0, maxNamesakes);
}

/** An endorsement key opens what was encrypted for it, and does nothing else. */
function isFitEk(certificate: VendorCertificate): boolean {
  const usage = parse(certificate.extensions.get(oids.keyUsage), KeyUsage)?.toNumber() ?? 0;
  const flag =
    certificate.publicKey.asymmetricKeyType === 'rsa'
      ? KeyUsageFlags.keyEncipherment
      : KeyUsageFlags.keyAgreement;
  return (
    isForEk(certificate) &&
    (usage & flag) !== 0 &&
    !certificate.mayIssueCertificates &&
    isUnderstood(certificate)
  );
}

function isForEk({ extensions }: VendorCertificate): boolean {
  return parse(extensions.get(oids.extendedKeyUsage), ExtendedKeyUsage)?.includes(ekPurpose) === true;
}

/** Whether pathLenConstraint, where it is there, allows so many intermediate certificates below. */
function allowsBelow({ extensions }: VendorCertificate, intermediates: number): boolean {
  const constraints = parse(extensions.get(oids.basicConstraints), BasicConstraints);
  return constraints !== undefined && intermediates <= (constraints.pathLenConstraint ?? intermediates);
}

/** The content of an extension; undefined when it is absent or malformed. */
function parse<T>(value: Uint8Array | undefined, type: new () => T): T | undefined {
  if (value === undefined) return undefined;
  try {
    return AsnConvert.parse(value, type);
  } catch {
    return undefined;
  }
}

function isUnderstood({ criticalExtensions }: VendorCertificate): boolean {
  return criticalExtensions.every((oid) => understoodExtensions.has(oid));
}

function validAt(at: Date): Check<VendorCertificate> {
  return ({ commonName, notBefore, notAfter }) =>
    at >= notBefore && at <= notAfter
      ? undefined
      : reason('TPM_EK_CERTIFICATE_EXPIRED', {
          message: `The certificate "${commonName}" is valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}.`,
        });
}

function constraints({ commonName }: VendorCertificate): Reason {
  return reason('TPM_EK_CERTIFICATE_CONSTRAINTS', {
    message: `The certificate "${commonName}" may not be used as it is, or has an unknown critical extension.`,
  });
}
