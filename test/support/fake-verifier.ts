import type { Appraisal, Evidence, EvidenceVerifier, TrustTier } from '@muster/shared/evidence/appraisal.js';
import { reason } from '@muster/shared/reasons.js';
import * as z from 'zod';

/** What the evidence of a fake namespace says of itself. */
export interface FakeEvidence {
  readonly tier?: TrustTier | 'throws';
  /** The path of an endorsement without which nothing can be appraised. */
  readonly needs?: string;
}

/** Evidence that {@link FakeVerifier} understands; it is bound to report data as a device's would be. */
export function fakeEvidence(namespace: string, reportData: Uint8Array, says: FakeEvidence = {}): Evidence {
  const content = { ...says, reportData: Buffer.from(reportData).toString('hex') };
  return { namespace, evidence: new Uint8Array(Buffer.from(JSON.stringify(content))) };
}

/** A verifier that believes its evidence, once it carries the right report data, and counts its calls. */
export class FakeVerifier implements EvidenceVerifier {
  readonly namespace: string;
  readonly policySchema = z.looseObject({});
  calls = 0;

  constructor(namespace: string) {
    this.namespace = namespace;
  }

  endorsementQueries(
    evidence: Evidence,
    atHand: Parameters<EvidenceVerifier['endorsementQueries']>[1],
  ): ReturnType<EvidenceVerifier['endorsementQueries']> {
    const { needs } = read(evidence);
    if (needs === undefined || atHand.certificates.length > 0) return [];
    return [{ vendor: 'amd', kind: 'certificates', path: needs }];
  }

  appraise(input: Parameters<EvidenceVerifier['appraise']>[0]): Appraisal {
    this.calls += 1;
    const { tier = 'affirming', needs, reportData } = read(input.evidence);
    if (tier === 'throws') throw new Error('a mistake in a verifier');
    if (needs !== undefined && input.endorsements.certificates.length === 0) return this.#result('none');
    const bound = reportData === Buffer.from(input.reportData ?? []).toString('hex');
    return this.#result(bound ? tier : 'contraindicated');
  }

  #result(status: TrustTier): Appraisal {
    return {
      namespace: this.namespace,
      status,
      reasons:
        status === 'affirming' ? [] : [reason('SNP_REPORT_LENGTH', { message: `The tier is ${status}.` })],
      claims: {},
      unchecked: [],
      trustworthiness: {},
      simulated: false,
    };
  }
}

function read({ evidence }: Evidence): FakeEvidence & { readonly reportData: string } {
  return JSON.parse(Buffer.from(evidence).toString('utf8')) as FakeEvidence & { readonly reportData: string };
}
