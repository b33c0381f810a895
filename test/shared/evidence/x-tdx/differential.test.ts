import { describe, expect, it } from '@jest/globals';
import type { AppraisalInput, Json } from '@muster/shared/evidence/appraisal.js';
import { tcbStatuses } from '@muster/shared/evidence/x-tdx/collateral.js';
import type { TdxPolicy } from '@muster/shared/evidence/x-tdx/policy.js';
import { tdxVerifier } from '@muster/shared/evidence/x-tdx/verifier.js';
import { QuoteVerifier, type Collateral } from '@phala/dcap-qvl';
import fc from 'fast-check';
import { intelCrl, intelHierarchy, pemOf } from '../../../support/tdx-builder.js';
import { tdxCase, type TdxCaseOptions } from '../../../support/tdx-case.js';
import { tdxVectors } from '../../../support/tdx-vectors.js';
import { describeVectors, vector } from '../../../support/vectors.js';

// Another implementation judges the same quotes. Where it says no, this one must not say yes; where it says yes and this
// one says no, the difference must be one of those that are explained here.

const hierarchy = intelHierarchy();
const rootDer = Buffer.from(hierarchy.root.certificate);

/** What the other implementation says: a TCB status, or `refused`. */
function theirs(
  input: Pick<AppraisalInput<TdxPolicy>, 'evidence' | 'endorsements' | 'at'>,
  chains: { readonly pckCa: string; readonly signer: string },
  verifier: QuoteVerifier,
): string {
  const [rootCrl = new Uint8Array(), pckCrl = new Uint8Array()] = input.endorsements.crls;
  const [tcbInfo, qeIdentity] = (input.endorsements.documents ?? []).map(({ content }) =>
    splitDocument(Buffer.from(content).toString()),
  );
  const collateral: Collateral = {
    pck_crl_issuer_chain: chains.pckCa,
    root_ca_crl: [...rootCrl],
    pck_crl: [...pckCrl],
    tcb_info_issuer_chain: chains.signer,
    tcb_info: tcbInfo?.json ?? '',
    tcb_info_signature: tcbInfo?.signature ?? '',
    qe_identity_issuer_chain: chains.signer,
    qe_identity: qeIdentity?.json ?? '',
    qe_identity_signature: qeIdentity?.signature ?? '',
  };
  try {
    return verifier.verify(input.evidence.evidence, collateral, input.at.getTime() / 1000).status;
  } catch {
    return 'refused';
  }
}

function splitDocument(text: string): { readonly json: string; readonly signature: string } {
  const [, json = '', signature = ''] = /^\{"\w+":(\{.*\}),"signature":"(\w+)"\}\s*$/s.exec(text) ?? [];
  return { json, signature };
}

function ours(input: AppraisalInput<TdxPolicy>): { readonly tcb: Json; readonly codes: readonly string[] } {
  const { status, reasons, claims } = tdxVerifier.appraise(input);
  const isYes = status === 'affirming' || status === 'warning';
  return {
    tcb: isYes ? (claims['tcb_status'] ?? null) : 'refused',
    codes: reasons.map(({ code }) => code),
  };
}

function compare(options: TdxCaseOptions): { readonly theirs: string; readonly ours: Json } {
  const input = tdxCase({ hierarchy, ...options });
  const { root, pckCa, tcbSigning } = hierarchy;
  const chains = {
    pckCa: pemOf(pckCa.certificate, root.certificate),
    signer: pemOf(tcbSigning.certificate, root.certificate),
  };
  const verifier = QuoteVerifier.newWithRootCa(rootDer);
  return { theirs: theirs(input, chains, verifier), ours: ours(input).tcb };
}

describe('both implementations say the same of', () => {
  it.each<[string, TdxCaseOptions, string]>([
    ['a quote of version 4', {}, 'UpToDate'],
    ['a quote of version 5 with TDX 1.0', { quote: { version: 5, bodyType: 2 } }, 'UpToDate'],
    ['a quote of version 5 with TDX 1.5', { quote: { version: 5, bodyType: 3 } }, 'UpToDate'],
    ...tcbStatuses
      .filter((status) => status !== 'Revoked')
      .map((tcbStatus): [string, TdxCaseOptions, string] => [
        `the status ${tcbStatus}`,
        { tcbInfo: ({ tcbLevels: [level] }) => void Object.assign(level ?? {}, { tcbStatus }) },
        tcbStatus,
      ]),
    ['an older PCE', { platform: { pceSvn: 10 } }, 'OutOfDate'],
    ['an older quoting enclave', { quote: { qe: { isvSvn: 3 } } }, 'OutOfDate'],
    ['an unsupported TCB', { platform: { pceSvn: 1 } }, 'refused'],
    ['another FMSPC', { tcbInfo: (json) => void (json['fmspc'] = 'B0C06F000001') }, 'refused'],
    ['another enclave', { quote: { qe: { mrsigner: new Uint8Array(32) } } }, 'refused'],
    ['an enclave of another key', { quote: { qe: { reportData: new Uint8Array(64) } } }, 'refused'],
    ['a TD that can be debugged', { quote: { report: { tdAttributes: 1n } } }, 'refused'],
    [
      'a revoked PCK',
      { crls: ({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa, { revoked: [0x40] })] },
      'refused',
    ],
  ])('%s', (_, options, expected) => {
    expect(compare(options)).toEqual({ theirs: expected, ours: expected });
  });
});

describe('only this implementation refuses', () => {
  it.each<[string, TdxCaseOptions]>([
    ['bytes after the quote', { quote: { padding: Uint8Array.of(1) } }],
    ['an empty revocation list', { crls: ({ root }) => [intelCrl(root), new Uint8Array()] }],
    [
      'a list that another signed',
      { crls: ({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa, { signingKey: root.privateKey })] },
    ],
    ['another PCE id', { tcbInfo: (json) => void (json['pceId'] = '0001') }],
    ['a TDX module without an identity', { quote: { report: { teeTcbSvn: [6, 9, 3] } } }],
    ['no valid time', { input: { at: new Date(Number.NaN) } }],
  ])('%s', (_, options) => {
    expect(compare(options)).toEqual({ theirs: 'UpToDate', ours: 'refused' });
  });
});

describeVectors('of a real quote, changed', () => {
  it('none is taken by this implementation alone, and every difference is explained', () => {
    const at = new Date('2025-07-01T00:00:00Z');
    const quote = vector('tdx/v4-uptodate/quote.bin');
    const endorsements = tdxVectors.upToDate();
    const [pckCa = '', signer = ''] = endorsements.certificates.map((pem) => Buffer.from(pem).toString());
    const policy = tdxVerifier.policySchema.parse({});
    const verdicts = (bytes: Uint8Array): ReturnType<typeof ours> & { readonly theirs: string } => {
      const evidence = { namespace: 'x-tdx', evidence: bytes };
      const input = { evidence, endorsements, at, policy, simulatedRoots: [] };
      return { ...ours(input), theirs: theirs(input, { pckCa, signer }, QuoteVerifier.newProd()) };
    };
    expect(verdicts(quote)).toMatchObject({ tcb: 'UpToDate', theirs: 'UpToDate' });
    /** What no signature covers: the padding, lengths and types, and the chain, of which the other takes what it needs. */
    const explained = [
      'TDX_TRAILING_BYTES',
      'TDX_QUOTE_LENGTH',
      'TDX_CERTIFICATION_DATA',
      'TDX_CERTIFICATE_UNREADABLE',
      'TDX_CHAIN_INCOMPLETE',
      'TDX_ROOT_UNTRUSTED',
      'TDX_CHAIN_BROKEN',
      'TDX_CHAIN_SIGNATURE',
    ];
    fc.assert(
      fc.property(
        fc.nat({ max: quote.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (offset, difference) => {
          const changed = Uint8Array.from(quote);
          changed[offset] = (changed[offset] ?? 0) ^ difference;
          const { tcb, codes, theirs: other } = verdicts(changed);
          expect(tcb).toBe('refused');
          if (other !== 'refused') expect(explained).toContain(codes[0]);
        },
      ),
      { numRuns: 120 },
    );
  });
});
