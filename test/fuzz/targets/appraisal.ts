import { canonicalJson } from '@muster/shared/audit/canonical-json.js';
import type {
  Appraisal,
  AppraisalInput,
  EndorsementDocument,
  Evidence,
  EvidenceVerifier,
} from '@muster/shared/evidence/appraisal.js';
import { earClaims } from '@muster/shared/evidence/ear.js';
import { knownDocuments } from '@muster/shared/evidence/endorsements.js';
import { isReasonCode } from '@muster/shared/reasons.js';
import { partOf, partsOf, type Input, type NamedTarget, type Part } from '../target.js';

/** The longest sentence of a reason, characters: it goes into the audit log, whatever the evidence says. */
const maxSentence = 1_024;

/** What an appraisal is given beside the input. */
type Context<Policy> = Omit<AppraisalInput<Policy>, 'evidence' | 'endorsements'>;

/** How a verifier is fuzzed. */
export interface VerifierOptions<Policy> {
  readonly name: string;
  readonly verifier: EvidenceVerifier<Policy>;
  /** Genuine cases, and ones that are refused; policy, time and binding are those of the first. */
  cases(): readonly AppraisalInput<Policy>[] | Promise<readonly AppraisalInput<Policy>[]>;
  /** What a device signed of evidence, read without the verifier's help; nothing that differs may be affirmed. */
  readonly signed: (evidence: Uint8Array) => string;
  /** Makes evidence out of what a hostile owner of a genuine device can choose; `signed` does not count then. */
  readonly sign?: (chosen: Uint8Array) => Uint8Array | Promise<Uint8Array>;
  readonly words?: readonly string[];
  readonly slowMs?: number;
}

/** A target that appraises evidence, with the endorsements beside it. */
export function verifierTarget<Policy>(options: VerifierOptions<Policy>): NamedTarget {
  const { name, verifier, signed, sign, words = [], slowMs } = options;
  return {
    name,
    async make() {
      const cases = await options.cases();
      const [first] = cases;
      if (first === undefined) throw new Error(`${name} has no cases`);
      const context: Context<Policy> = {
        ...first,
        simulatedRoots: cases.flatMap(({ simulatedRoots }) => simulatedRoots),
      };
      return {
        words,
        ...(slowMs === undefined ? {} : { slowMs }),
        seeds: cases.map(inputOf),
        async run(input) {
          const chosen = partOf(input, 'evidence');
          const evidence = sign === undefined ? chosen : await sign(chosen);
          const appraisal = await appraise(verifier, context, evidence, input);
          checkAppraisal(appraisal);
          const isYes = appraisal.status === 'affirming' || appraisal.status === 'warning';
          return isYes && sign === undefined ? [signed(evidence)] : [];
        },
      };
    },
  };
}

/** Hex of bytes, to say what was signed. */
export function hex(...parts: readonly Uint8Array[]): string {
  return parts.map((bytes) => Buffer.from(bytes).toString('hex')).join(' ');
}

function inputOf<Policy>({ evidence, endorsements }: AppraisalInput<Policy>): Input {
  const part = (kind: string, bytes: Uint8Array): Part => ({ kind, bytes });
  return [
    part('evidence', evidence.evidence),
    ...(evidence.auxiliary === undefined ? [] : [part('auxiliary', evidence.auxiliary)]),
    ...endorsements.certificates.map((bytes) => part('certificate', bytes)),
    ...endorsements.crls.map((bytes) => part('crl', bytes)),
    ...(endorsements.documents ?? []).map(({ kind, content }) => part(kind, content)),
  ];
}

async function appraise<Policy>(
  verifier: EvidenceVerifier<Policy>,
  context: Context<Policy>,
  bytes: Uint8Array,
  input: Input,
): Promise<Appraisal> {
  const [auxiliary] = partsOf(input, 'auxiliary');
  const evidence: Evidence = {
    namespace: verifier.namespace,
    evidence: bytes,
    ...(auxiliary === undefined ? {} : { auxiliary }),
  };
  const documents: readonly EndorsementDocument[] = knownDocuments(
    input.map(({ kind, bytes: content }) => ({ kind, content })),
  );
  const endorsements = {
    certificates: partsOf(input, 'certificate'),
    crls: partsOf(input, 'crl'),
    documents,
  };
  await verifier.endorsementQueries(evidence, endorsements);
  return verifier.appraise({ ...context, evidence, endorsements });
}

/** Throws where an appraisal could not be written to a log, a result or a store, or does not say why it refuses. */
export function checkAppraisal(appraisal: Appraisal): void {
  const { status, reasons, claims } = appraisal;
  if ((status === 'affirming') !== (reasons.length === 0)) throw new Error(`${status} has wrong reasons`);
  const strange = reasons.find(
    ({ code, message }) => !isReasonCode(code) || message.length > maxSentence || message === '',
  );
  if (strange !== undefined) throw new Error(`the reason ${strange.code} has a strange sentence`);
  canonicalJson(claims);
  JSON.stringify(appraisal);
  const verifierId = { developer: 'fuzz', build: '0' };
  earClaims([appraisal], { verifierId, issuedAt: new Date(0), policyId: 'policy' });
}
