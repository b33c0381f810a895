import { sign } from 'node:crypto';
import type { AppraisalInput } from '@muster/shared/evidence/appraisal.js';
import { joinDocument, readQeIdentity, readTcbInfo } from '@muster/shared/evidence/x-tdx/collateral.js';
import type { TdxPolicy } from '@muster/shared/evidence/x-tdx/policy.js';
import { parseQuote } from '@muster/shared/evidence/x-tdx/quote.js';
import { tdxVerifier } from '@muster/shared/evidence/x-tdx/verifier.js';
import { once } from '@muster/shared/memo.js';
import { intelCrl, intelHierarchy, pckCertificate, pemOf, serials } from '../../support/tdx-builder.js';
import { qeIdentityJson, tcbInfoJson, tdxCase } from '../../support/tdx-case.js';
import { tdxQuote } from '../../support/tdx-quote.js';
import { tdxVectors } from '../../support/tdx-vectors.js';
import { hasVectors, vector } from '../../support/vector-files.js';
import { parserTarget, partOf, single, type NamedTarget } from '../target.js';
import { checkAppraisal, hex, verifierTarget } from './appraisal.js';

/** Header and body of a quote, which its attestation key signs; a body of version 5 says how long it is. */
function signedPart(quote: Uint8Array): string {
  const view = Buffer.from(quote);
  const end = view.readUInt16LE(0) === 4 ? 48 + 584 : 54 + view.readUInt32LE(50);
  return hex(view.subarray(0, end));
}

const intel = once(() => {
  const hierarchy = intelHierarchy();
  const { certificate, privateKey } = pckCertificate(hierarchy);
  const pckChain = pemOf(certificate, hierarchy.pckCa.certificate, hierarchy.root.certificate);
  return { hierarchy, pckKey: privateKey, pckChain };
});

/** A quote whose body anyone can choose who owns a genuine platform. */
function quoteOf(body: Uint8Array): Uint8Array {
  const { pckKey, pckChain } = intel();
  const alter = (signed: Uint8Array): void => signed.set(body.subarray(0, signed.length - 48), 48);
  return tdxQuote({ pckKey, pckChain, alter });
}

function realCase(): AppraisalInput<TdxPolicy> {
  return {
    evidence: { namespace: 'x-tdx', evidence: vector('tdx/v4-uptodate/quote.bin') },
    endorsements: tdxVectors.upToDate(),
    policy: tdxVerifier.policySchema.parse({}),
    at: new Date('2025-07-01T00:00:00Z'),
    simulatedRoots: [],
  };
}

/** Documents that Intel would have signed, whatever they say: what follows from them must still be an answer. */
const signedDocuments: NamedTarget = {
  name: 'tdx-collateral-signed',
  make() {
    const { hierarchy, pckKey, pckChain } = intel();
    const base = tdxCase({ hierarchy });
    const quote = tdxQuote({ pckKey, pckChain });
    const document = (member: 'tcbInfo' | 'enclaveIdentity', bytes: Uint8Array): Uint8Array => {
      const { privateKey: key } = hierarchy.tcbSigning;
      const signature = sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' });
      return joinDocument(member, Buffer.from(bytes).toString('utf8'), signature.toString('hex'));
    };
    return {
      seeds: [tcbInfoJson(), { ...tcbInfoJson(), tdxModuleIdentities: [] }].map((info) => [
        ...single(JSON.stringify(info), 'tcbInfo'),
        ...single(JSON.stringify(qeIdentityJson()), 'enclaveIdentity'),
      ]),
      run(input) {
        const documents = [
          { kind: 'tdx-tcb-info', content: document('tcbInfo', partOf(input, 'tcbInfo')) },
          {
            kind: 'tdx-qe-identity',
            content: document('enclaveIdentity', partOf(input, 'enclaveIdentity')),
          },
        ] as const;
        const evidence = { namespace: 'x-tdx', evidence: quote };
        const endorsements = { ...base.endorsements, documents };
        checkAppraisal(tdxVerifier.appraise({ ...base, evidence, endorsements }));
        return [];
      },
    };
  },
};

/** Intel TDX. */
export const tdxTargets: readonly NamedTarget[] = [
  parserTarget('tdx-quote', parseQuote, () => [
    tdxCase().evidence.evidence,
    tdxCase({ quote: { version: 5, bodyType: 3, padding: new Uint8Array(40) } }).evidence.evidence,
    ...(hasVectors ? ['tdx/v4-uptodate/quote.bin', 'azure/tdx-vtpm-v1/td-quote.bin'].map(vector) : []),
  ]),
  parserTarget(
    'tdx-documents',
    (bytes) => [readTcbInfo(bytes), readQeIdentity(bytes)],
    () => {
      const documents = tdxCase().endorsements.documents ?? [];
      return documents.map(({ content }) => content);
    },
  ),
  signedDocuments,
  verifierTarget({
    name: 'tdx-verifier',
    verifier: tdxVerifier,
    signed: signedPart,
    cases() {
      const revoked = intelHierarchy();
      return [
        tdxCase(),
        tdxCase({ quote: { version: 5, bodyType: 3 } }),
        tdxCase({ quote: { report: { tdAttributes: 1n } } }),
        tdxCase({
          hierarchy: revoked,
          crls: ({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa, { revoked: [serials.pck] })],
        }),
      ];
    },
  }),
  verifierTarget({
    name: 'tdx-verifier-signed',
    verifier: tdxVerifier,
    signed: hex,
    sign: quoteOf,
    cases: () => {
      const base = tdxCase({ hierarchy: intel().hierarchy });
      const body = base.evidence.evidence.subarray(48, 48 + 584);
      return [{ ...base, evidence: { ...base.evidence, evidence: body } }];
    },
  }),
  ...(hasVectors
    ? [
        verifierTarget({
          name: 'tdx-verifier-real',
          verifier: tdxVerifier,
          signed: signedPart,
          cases: () => [realCase()],
        }),
      ]
    : []),
];
