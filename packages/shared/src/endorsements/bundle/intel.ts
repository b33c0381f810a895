import { readTcbInfo } from '../../evidence/x-tdx/collateral.js';
import { findTcbSigners, intelRoot } from '../../evidence/x-tdx/chain.js';
import { findQeIdentity, findTcbInfo, type Found } from '../../evidence/x-tdx/find-documents.js';
import { isSignedByP256, parseCertificate, parseCrl, type VendorCertificate } from '../../evidence/x509.js';
import type { Reason } from '../../reasons.js';
import { outOfTime, untrusted, type Answer, type AnswerCheck, type CheckOptions } from './answer.js';
import { isIssuedByOne, trustedAmong, type Trust } from './trust.js';

/** Checks Intel's answers: each is signed by a key whose certificate, among those delivered, chains to the pinned root. */
export function intelCheck(answers: readonly Answer[], { at, simulatedRoots }: CheckOptions): AnswerCheck {
  const trust: Trust = {
    isRoot: ({ fingerprint }) => fingerprint === intelRoot || simulatedRoots.includes(fingerprint),
    isSigned: isSignedByP256,
    at,
  };
  const ders = answers.flatMap(({ found }) => found.issuers ?? []);
  const certificates = ders.flatMap((der) => parseCertificate(der) ?? []);
  const trusted = trustedAmong(certificates, trust);
  const root = certificates.find((certificate) => trusted.has(certificate) && trust.isRoot(certificate));
  return (answer) => {
    const content = answer.found.items[0] ?? new Uint8Array();
    if (answer.query.kind === 'crl') {
      const crl = parseCrl(content);
      if (crl === undefined || !isIssuedByOne(crl, trusted, trust)) {
        return untrusted(answer, "its issuer is not among the certificates, or not below Intel's root");
      }
      return crl.thisUpdate <= at && at <= answer.found.expiresAt
        ? undefined
        : outOfTime(answer, 'the revocation list is not current');
    }
    if (root === undefined) return untrusted(answer, "Intel's root is not among the certificates");
    return documentRefusal(answer, content, root, at);
  };
}

function documentRefusal(
  answer: Answer,
  content: Uint8Array,
  root: VendorCertificate,
  at: Date,
): Reason | undefined {
  const signers = findTcbSigners(answer.found.issuers ?? [], root, at);
  if (answer.query.kind === 'tdx-qe-identity') {
    return refusalOf(findQeIdentity({ documents: [{ kind: 'tdx-qe-identity', content }], signers, at }));
  }
  const fmspc = Buffer.from(answer.query.path.split('fmspc=')[1] ?? '', 'hex');
  const pceId = Buffer.from(readTcbInfo(content)?.value.pceId ?? '', 'hex');
  const documents = [{ kind: 'tdx-tcb-info', content }] as const;
  return refusalOf(findTcbInfo({ documents, signers, at }, { fmspc, pceId }));
}

function refusalOf(found: Found<unknown>): Reason | undefined {
  if ('value' in found) return undefined;
  return 'missing' in found ? found.missing : found.refusal;
}
