import { X509Certificate } from 'node:crypto';
import { certificateIdentity } from '../../pki/certificate.js';
import { reason, type Reason } from '../../reasons.js';
import { formatSpiffeId } from '../../spiffe.js';
import type { FederationContext } from '../appraisal.js';
import { remembered } from '../remember.js';
import { select } from '../select.js';
import { isSignedByP256, parseCertificate, type VendorCertificate } from '../x509.js';

/** The purpose of a certificate of an attestation key (tcg-kp-AIKCertificate). */
export const akPurpose = '2.23.133.8.3';
/** basicConstraints and keyUsage; extKeyUsage is checked as well. */
const understoodExtensions = new Set(['2.5.29.19', '2.5.29.15', '2.5.29.37']);

/**
 * What the federation's CA says in the certificate of an attestation key: the participant that its subject alternative
 * name tells has proven to the server that the key is in the TPM whose endorsement key the subject's serial number tells.
 */
interface AkCertificate {
  readonly certificate: VendorCertificate;
  /** The SPIFFE id. */
  readonly participant: string | undefined;
  /** SHA-256 over the SubjectPublicKeyInfo of the endorsement key, lower-case hex. */
  readonly ekFingerprint: string;
}

/** Reads certificates of attestation keys; undefined for any other. */
const readAkCertificate = remembered((der: Uint8Array): AkCertificate | undefined => {
  const certificate = parseCertificate(der);
  if (certificate === undefined) return undefined;
  const parsed = new X509Certificate(der);
  const [, ekFingerprint] = /^serialNumber=([0-9a-f]{64})$/m.exec(parsed.subject) ?? [];
  if (ekFingerprint === undefined || parsed.keyUsage?.join() !== akPurpose) return undefined;
  const identity = certificateIdentity(parsed);
  return { certificate, participant: identity && formatSpiffeId(identity), ekFingerprint };
}, 1024);

/**
 * The endorsement key beside which an attestation key (SHA-256 over its SubjectPublicKeyInfo, hex) lives, as the
 * federation's CA says in a certificate at hand (DER): its fingerprint, or why nothing says so.
 */
export function endorsementKeyOf(
  akFingerprint: string,
  certificates: readonly Uint8Array[],
  { participant, roots }: FederationContext,
  at: Date,
): { readonly ekFingerprint: string } | Reason {
  const authorities = roots.flatMap((der) => parseCertificate(der) ?? []);
  const candidates = certificates
    .flatMap((der) => readAkCertificate(der) ?? [])
    .filter(({ certificate }) => certificate.fingerprint === akFingerprint);
  const { passed, failure } = select(candidates, [
    ({ certificate }) =>
      isIssuedBy(certificate, authorities) ? undefined : reason('TPM_AK_CERTIFICATE_ISSUER'),
    ({ certificate }) =>
      certificate.criticalExtensions.every((oid) => understoodExtensions.has(oid)) &&
      !certificate.mayIssueCertificates
        ? undefined
        : reason('TPM_AK_CERTIFICATE_CONSTRAINTS'),
    ({ certificate: { notBefore, notAfter } }) =>
      at >= notBefore && at <= notAfter ? undefined : reason('TPM_AK_CERTIFICATE_EXPIRED'),
    (candidate) =>
      candidate.participant === participant ? undefined : reason('TPM_AK_CERTIFICATE_PARTICIPANT'),
  ]);
  return passed[0] ?? failure ?? reason('TPM_AK_UNPROVEN');
}

function isIssuedBy(certificate: VendorCertificate, authorities: readonly VendorCertificate[]): boolean {
  return authorities.some(
    (authority) =>
      authority.subject === certificate.issuer && isSignedByP256(certificate.signed, authority.publicKey),
  );
}
