import { parseOcspResponse } from '../../evidence/x-nv-gpu/ocsp.js';
import { verifyRim } from '../../evidence/x-nv-gpu/rim-trust.js';
import { isSignedByP384, type VendorCertificate } from '../../evidence/x509.js';
import type { Reason } from '../../reasons.js';
import { outOfTime, untrusted, type Answer, type AnswerCheck, type CheckOptions } from './answer.js';

/**
 * Checks NVIDIA's answers: a manifest by its certificates up to the pinned root and its signature. A response about a
 * certificate is checked as far as it goes without the chain of the device: its dates, and its signature by the responder
 * that it names or by one of the manifests' certificates. Who named that responder is for the verifier to find out.
 */
export function nvidiaCheck(answers: readonly Answer[], options: CheckOptions): AnswerCheck {
  const manifests = answers
    .filter(({ query }) => query.kind === 'nvidia-rim')
    .map(({ found }) => verifyRim(contentOf(found), options));
  const issuers = manifests.flatMap((rim) => ('chain' in rim ? rim.chain : []));
  return (answer) => {
    if (answer.query.kind === 'ocsp') return statusRefusal(answer, issuers, options.at);
    const rim = verifyRim(contentOf(answer.found), options);
    return 'code' in rim ? rim : undefined;
  };
}

function statusRefusal(answer: Answer, issuers: readonly VendorCertificate[], at: Date): Reason | undefined {
  const statuses = parseOcspResponse(contentOf(answer.found)) ?? [];
  const isSigned = statuses.every(({ signed, responders }) =>
    [...responders, ...issuers].some(({ publicKey }) => isSignedByP384(signed, publicKey)),
  );
  if (statuses.length === 0 || !isSigned) return untrusted(answer, 'its signature does not hold');
  return statuses.every(({ response }) => response.thisUpdate <= at) && at <= answer.found.expiresAt
    ? undefined
    : outOfTime(answer, 'the response is not current');
}

function contentOf({ items }: Answer['found']): Uint8Array {
  return items[0] ?? new Uint8Array();
}
