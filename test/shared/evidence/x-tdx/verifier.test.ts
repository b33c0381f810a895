import { describe, expect, it } from '@jest/globals';
import { KeyUsageFlags } from '@peculiar/asn1-x509';
import { tdxVerifier } from '@muster/shared/evidence/x-tdx/verifier.js';
import { extension } from '../../../support/snp-builder.js';
import { intelCrl, intelHierarchy, pckCertificate, pemOf, serials } from '../../../support/tdx-builder.js';
import {
  appraiseTdx,
  at,
  certificatesOf,
  tdxCase,
  verdict,
  type TdxCaseOptions,
} from '../../../support/tdx-case.js';
import { defaultReportData } from '../../../support/tdx-quote.js';

type Row = readonly [why: string, code: string, options: TdxCaseOptions];

const intel = intelHierarchy();
const foreign = intelHierarchy();
const unknownCritical = [extension('1.2.3.4', Uint8Array.of(5, 0), true)];
const [past, future] = [new Date('2025-06-01T00:00:00Z'), new Date('2026-06-01T00:00:00Z')];

/** Sets or clears one byte of a quote. */
function poke(offset: number, value: number) {
  return (bytes: Uint8Array): Uint8Array => {
    bytes[offset] = value;
    return bytes;
  };
}

function refuses(rows: readonly Row[]): void {
  it.each(rows)('is refused: %s (%s)', (_, code, options) => {
    expect(verdict(appraiseTdx(options))).toBe(`contraindicated ${code}`);
  });
}

describe('a genuine quote', () => {
  it.each<[string, TdxCaseOptions]>([
    ['of version 4', {}],
    ['of version 5 with a report of TDX 1.0', { quote: { version: 5, bodyType: 2 } }],
    ['of version 5 with a report of TDX 1.5', { quote: { version: 5, bodyType: 3 } }],
    ['padded with zeros', { quote: { padding: new Uint8Array(3000) } }],
    ['without authentication data', { quote: { authenticationData: new Uint8Array() } }],
    [
      'of a module without an identity of its own',
      {
        quote: { report: { teeTcbSvn: [5, 0, 2] } },
        tcbInfo: (json) => void (json.tdxModuleIdentities = []),
      },
    ],
  ])('is affirmed: %s', (_, options) => {
    expect(appraiseTdx({ ...options, input: { reportData: defaultReportData } })).toMatchObject({
      status: 'affirming',
      reasons: [],
      unchecked: [],
      simulated: true,
      claims: { tcb_status: 'UpToDate' },
      trustworthiness: {
        'instance-identity': 2,
        configuration: 2,
        executables: 0,
        hardware: 2,
        'runtime-opaque': 2,
      },
    });
  });

  it('shows what it says, and what Intel says of its platform', () => {
    const platformInstanceId = new Uint8Array(16).fill(9);
    const { claims } = appraiseTdx({
      platform: { platformInstanceId, smtEnabled: true },
      quote: {
        version: 5,
        bodyType: 3,
        report: { rtmrs: [new Uint8Array(48).fill(1)], mrServiceTd: new Uint8Array(48).fill(2) },
      },
    });
    expect(claims).toMatchObject({
      version: 5,
      tcb: {
        evaluation_number: 17,
        advisories: [],
        platform: { status: 'UpToDate', date: '2025-03-13T00:00:00.000Z' },
        module: { status: 'UpToDate' },
        qe: { status: 'UpToDate' },
      },
      mrtd: '5a'.repeat(48),
      rtmr0: '01'.repeat(48),
      mrservicetd: '02'.repeat(48),
      td_attributes: { raw: '0000001000000000', debug: false, sept_ve_disable: true, migratable: false },
      module: { tee_tcb_svn: `060103${'00'.repeat(13)}`, tee_tcb_svn2: `060103${'00'.repeat(13)}` },
      platform: {
        fmspc: 'b0c06f000000',
        pce_id: '0000',
        pce_svn: 11,
        instance_id: '09'.repeat(16),
        smt: true,
        issuer: 'Intel SGX PCK Platform CA',
      },
      verified: ['pck_chain', 'qe_report', 'qe_binding', 'quote_signature'],
    });
  });

  it('is affirmed with reference values in its executables', () => {
    const { trustworthiness } = appraiseTdx({ policy: { mrtd: ['5A'.repeat(48)] } });
    expect(trustworthiness).toMatchObject({ executables: 2 });
  });

  it('is affirmed among unfit certificates, lists and documents, in any order', () => {
    const input = tdxCase();
    const { documents = [] } = input.endorsements;
    const other = tdxCase({ tcbInfo: (json) => void (json['fmspc'] = '00806F050000') }).endorsements;
    const old = tdxCase({
      tcbInfo: (json) => void (json['nextUpdate'] = '2025-12-02T00:00:00Z'),
    }).endorsements;
    const all = [...(other.documents ?? []), ...(old.documents ?? []), ...documents];
    for (const reversed of [false, true]) {
      const order = <T>(items: readonly T[]): readonly T[] => (reversed ? items.toReversed() : items);
      const endorsements = {
        certificates: order([
          ...certificatesOf(foreign.root, foreign.pckCa, foreign.tcbSigning),
          ...input.endorsements.certificates,
        ]),
        crls: order([
          ...input.endorsements.crls,
          ...tdxCase({ crls: ({ root }) => [intelCrl(root, { nextUpdate: past })] }).endorsements.crls,
        ]),
        documents: order(all),
      };
      expect(verdict(tdxVerifier.appraise({ ...input, endorsements }))).toBe('affirming');
    }
  });

  it('is judged by the newest of several TCB infos', () => {
    const input = tdxCase();
    const newer = tdxCase({
      tcbInfo: (json) => {
        json['tcbEvaluationDataNumber'] = 18;
        json.tcbLevels.shift();
      },
    });
    const documents = [...(input.endorsements.documents ?? []), ...(newer.endorsements.documents ?? [])];
    const endorsements = { ...input.endorsements, documents };
    expect(verdict(tdxVerifier.appraise({ ...input, endorsements }))).toBe('warning TDX_TCB_STATUS');
  });
});

describe('the form of a quote', () => {
  refuses([
    ['nothing', 'TDX_QUOTE_LENGTH', { spoil: () => new Uint8Array() }],
    ['cut off', 'TDX_QUOTE_LENGTH', { spoil: (quote) => quote.subarray(0, -1) }],
    ['longer than any', 'TDX_QUOTE_LENGTH', { quote: { padding: new Uint8Array(65536) } }],
    ['bytes after its chain', 'TDX_QUOTE_LENGTH', { quote: { afterChain: Uint8Array.of(0) } }],
    [
      'bytes after its certification data',
      'TDX_QUOTE_LENGTH',
      { quote: { afterCertification: Uint8Array.of(0) } },
    ],
    ['non-zero bytes after it', 'TDX_TRAILING_BYTES', { quote: { padding: Uint8Array.of(0, 0, 1) } }],
    ['version 3', 'TDX_QUOTE_VERSION', { quote: { version: 3 } }],
    ['version 6', 'TDX_QUOTE_VERSION', { quote: { version: 6 } }],
    ['another key type', 'TDX_KEY_TYPE', { quote: { keyType: 3 } }],
    ['an SGX enclave', 'TDX_TEE_TYPE', { quote: { teeType: 0 } }],
    ['another vendor', 'TDX_QE_VENDOR', { quote: { qeVendor: new Uint8Array(16) } }],
    ['a body of SGX', 'TDX_BODY_TYPE', { quote: { version: 5, bodyType: 1 } }],
    ['a body of another length', 'TDX_BODY_TYPE', { quote: { version: 5, bodyType: 3, bodyLength: 584 } }],
    ['no report of the enclave', 'TDX_CERTIFICATION_DATA', { quote: { outerType: 5 } }],
    ['an encrypted PPID for a chain', 'TDX_CERTIFICATION_DATA', { quote: { innerType: 3 } }],
  ]);

  it('is refused at no valid time', () => {
    for (const time of [new Date(Number.NaN), new Date('no date')]) {
      expect(verdict(appraiseTdx({ input: { at: time } }))).toBe('contraindicated TDX_CLOCK_INVALID');
    }
  });
});

describe('the chain of a quote', () => {
  const pckOf = (hierarchy = intel): TdxCaseOptions => ({ hierarchy });
  const withChain = (chain: (pem: string) => string): TdxCaseOptions => {
    const pck = pckCertificate(intel);
    const pem = pemOf(...certificatesOf(pck, intel.pckCa, intel.root));
    return { hierarchy: intel, quote: { pckKey: pck.privateKey, pckChain: chain(pem) } };
  };

  refuses([
    ['a root that is not trusted', 'TDX_ROOT_UNTRUSTED', { input: { simulatedRoots: [] } }],
    [
      'a root that is trusted for another namespace',
      'TDX_ROOT_UNTRUSTED',
      { ...pckOf(), input: { simulatedRoots: [{ namespace: 'x-snp', fingerprint: intel.rootFingerprint }] } },
    ],
    ['no root', 'TDX_CHAIN_INCOMPLETE', withChain(() => pemOf(...certificatesOf(intel.pckCa)))],
    ['no PCK CA', 'TDX_CHAIN_INCOMPLETE', withChain(() => pemOf(...certificatesOf(intel.root)))],
    ['no PCK', 'TDX_CHAIN_INCOMPLETE', withChain(() => pemOf(...certificatesOf(intel.pckCa, intel.root)))],
    [
      'a root that is not self-signed',
      'TDX_CHAIN_SIGNATURE',
      pckOf(intelHierarchy({ root: { signingKey: foreign.root.privateKey } })),
    ],
    ['an expired root', 'TDX_CERTIFICATE_EXPIRED', pckOf(intelHierarchy({ root: { notAfter: past } }))],
    [
      'a root that may not issue',
      'TDX_CERTIFICATE_CONSTRAINTS',
      pckOf(intelHierarchy({ root: { ca: false } })),
    ],
    [
      'a root with an unknown critical extension',
      'TDX_CERTIFICATE_CONSTRAINTS',
      pckOf(intelHierarchy({ root: { extensions: unknownCritical } })),
    ],
    [
      'a PCK CA of another issuer',
      'TDX_CHAIN_BROKEN',
      pckOf(intelHierarchy({ pckCa: { issuerName: 'Somebody' } })),
    ],
    [
      'a PCK CA that another signed',
      'TDX_CHAIN_SIGNATURE',
      pckOf(intelHierarchy({ pckCa: { signingKey: foreign.root.privateKey } })),
    ],
    [
      'a PCK CA with another hash',
      'TDX_CHAIN_SIGNATURE',
      pckOf(intelHierarchy({ pckCa: { hash: 'sha384' } })),
    ],
    [
      'a PCK CA from the future',
      'TDX_CERTIFICATE_NOT_YET_VALID',
      pckOf(intelHierarchy({ pckCa: { notBefore: future } })),
    ],
    ['a PCK CA that is none', 'TDX_CERTIFICATE_CONSTRAINTS', pckOf(intelHierarchy({ pckCa: { ca: false } }))],
    [
      'a PCK CA that may only sign lists',
      'TDX_CERTIFICATE_CONSTRAINTS',
      pckOf(intelHierarchy({ pckCa: { keyUsage: KeyUsageFlags.cRLSign } })),
    ],
    ['a PCK of another issuer', 'TDX_CHAIN_BROKEN', { pck: { issuerName: 'Somebody' } }],
    ['a PCK that another signed', 'TDX_CHAIN_SIGNATURE', { pck: { signingKey: foreign.pckCa.privateKey } }],
    ['an expired PCK', 'TDX_CERTIFICATE_EXPIRED', { pck: { notAfter: past } }],
    ['a PCK from the future', 'TDX_CERTIFICATE_NOT_YET_VALID', { pck: { notBefore: future } }],
    [
      'a PCK on another curve',
      'TDX_CERTIFICATE_CONSTRAINTS',
      { pck: { curve: 'P-384' }, quote: { pckKey: foreign.root.privateKey } },
    ],
    [
      'a PCK with an unknown critical extension',
      'TDX_CERTIFICATE_CONSTRAINTS',
      { pck: { extensions: unknownCritical } },
    ],
    ...['.1', '.2', '.2.9', '.2.17', '.3', '.4', '.5'].map((field): Row => [
      `a PCK without field ${field}`,
      'TDX_PCK_EXTENSION',
      { platform: { without: [field] } },
    ]),
    ['a PCK with a short FMSPC', 'TDX_PCK_EXTENSION', { platform: { fmspc: new Uint8Array(5) } }],
    [
      'a PCK with bytes after its extension',
      'TDX_PCK_EXTENSION',
      { platform: { alter: (der) => Buffer.concat([der, Uint8Array.of(0)]) } },
    ],
    ['a PCK with no sequence', 'TDX_PCK_EXTENSION', { platform: { alter: () => Uint8Array.of(5, 0) } }],
    [
      'text between its certificates',
      'TDX_CERTIFICATE_UNREADABLE',
      withChain((pem) => pem.replace('\n-----BEGIN', '\n \n-----BEGIN')),
    ],
    ['text after its certificates', 'TDX_CERTIFICATE_UNREADABLE', withChain((pem) => `${pem}x`)],
    ['other line ends', 'TDX_CERTIFICATE_UNREADABLE', withChain((pem) => pem.replaceAll('\n', '\u000b'))],
    ['two zero bytes after it', 'TDX_CERTIFICATE_UNREADABLE', withChain((pem) => `${pem}\0\0`)],
    ['no PEM', 'TDX_CERTIFICATE_UNREADABLE', withChain(() => 'chain')],
    [
      'a certificate twice',
      'TDX_CERTIFICATES_EXCESSIVE',
      withChain((pem) => `${pem}${pemOf(...certificatesOf(intel.root))}`),
    ],
    ['a certificate that is cut', 'TDX_CERTIFICATE_UNREADABLE', withChain((pem) => pem.slice(0, -30))],
    [
      'a certificate at hand that is none',
      'TDX_CERTIFICATE_UNREADABLE',
      { certificates: () => [Uint8Array.of(1)] },
    ],
    [
      'more certificates than can be needed',
      'TDX_CERTIFICATES_EXCESSIVE',
      { certificates: () => Array.from({ length: 33 }, (_, index) => Uint8Array.of(0x30, 1, index)) },
    ],
  ]);

  it.each<[string, (pem: string) => string]>([
    ['ends in a zero byte', (pem) => `${pem}\0`],
    ['has no line end', (pem) => pem.trimEnd()],
    ['has line ends of Windows', (pem) => pem.replaceAll('\n', '\r\n')],
    ['has no lines between its certificates', (pem) => pem.replaceAll('-\n-', '--')],
  ])('is taken when it %s', (_, chain) => {
    expect(verdict(appraiseTdx(withChain(chain)))).toBe('affirming');
  });
});

describe('the signatures of a quote', () => {
  const signedEnd = 48 + 584;
  const qeReportAt = signedEnd + 4 + 64 + 64 + 6;
  refuses([
    [
      'a PCK that did not sign the enclave',
      'TDX_QE_REPORT_SIGNATURE',
      { quote: { pckKey: foreign.root.privateKey } },
    ],
    ['a changed report of the enclave', 'TDX_QE_REPORT_SIGNATURE', { spoil: poke(qeReportAt + 258, 9) }],
    [
      'an enclave of another key',
      'TDX_QE_BINDING',
      { quote: { qe: { reportData: new Uint8Array(64).fill(1) } } },
    ],
    ['changed authentication data', 'TDX_QE_BINDING', { spoil: poke(qeReportAt + 384 + 64 + 2, 9) }],
    [
      'an enclave that can be debugged',
      'TDX_QE_DEBUG',
      { quote: { qe: { attributes: Uint8Array.of(0x13, ...new Uint8Array(15)) } } },
    ],
    ['another attestation key', 'TDX_QUOTE_SIGNATURE', { quote: { attestationKey: otherPoint() } }],
    ['no attestation key', 'TDX_QUOTE_SIGNATURE', { quote: { attestationKey: new Uint8Array(64).fill(3) } }],
    ['a changed report', 'TDX_QUOTE_SIGNATURE', { spoil: poke(48 + 136, 9) }],
    ['a changed header', 'TDX_QUOTE_SIGNATURE', { spoil: poke(40, 9) }],
    [
      'a changed signature',
      'TDX_QUOTE_SIGNATURE',
      { spoil: (quote) => poke(signedEnd + 9, (quote[signedEnd + 9] ?? 0) ^ 1)(quote) },
    ],
  ]);

  it('are refused when the digest is followed by anything', () => {
    const { evidence } = tdxCase();
    const reportData = Uint8Array.from(evidence.evidence.subarray(qeReportAt + 320, qeReportAt + 384));
    expect(reportData.subarray(32).every((byte) => byte === 0)).toBe(true);
    const options = { quote: { qe: { reportData: poke(63, 1)(reportData) } } };
    expect(verdict(appraiseTdx(options))).toBe('contraindicated TDX_QE_BINDING');
  });
});

describe('revocation', () => {
  const lists = (
    own: (hierarchy: typeof intel) => readonly Uint8Array[],
    hierarchy = intel,
  ): TdxCaseOptions => ({ hierarchy, crls: own });

  refuses([
    [
      'a PCK that is revoked',
      'TDX_CERTIFICATE_REVOKED',
      lists(({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa, { revoked: [1, serials.pck] })]),
    ],
    [
      'a PCK CA that is revoked',
      'TDX_CERTIFICATE_REVOKED',
      lists(({ root, pckCa }) => [intelCrl(root, { revoked: [serials.pckCa] }), intelCrl(pckCa)]),
    ],
    [
      'a TCB signing certificate that is revoked',
      'TDX_CERTIFICATE_REVOKED',
      lists(({ root, pckCa }) => [intelCrl(root, { revoked: [serials.tcbSigning] }), intelCrl(pckCa)]),
    ],
    [
      'a revocation in the older of two lists',
      'TDX_CERTIFICATE_REVOKED',
      lists(({ root, pckCa }) => [
        intelCrl(root),
        intelCrl(pckCa),
        intelCrl(pckCa, { revoked: [serials.pck] }),
      ]),
    ],
    [
      'garbage for a list',
      'TDX_CRL_UNREADABLE',
      lists(({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa), Uint8Array.of(1, 2)]),
    ],
    [
      'an empty list',
      'TDX_CRL_UNREADABLE',
      lists(({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa), new Uint8Array()]),
    ],
    [
      'an expired list of the root',
      'TDX_CRL_EXPIRED',
      lists(({ root, pckCa }) => [intelCrl(root, { nextUpdate: past }), intelCrl(pckCa)]),
    ],
    [
      'an expired list of the PCK CA',
      'TDX_CRL_EXPIRED',
      lists(({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa, { nextUpdate: past })]),
    ],
    [
      'a list without end',
      'TDX_CRL_EXPIRED',
      lists(({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa, { nextUpdate: null })]),
    ],
    [
      'a list from the future',
      'TDX_CRL_NOT_YET_VALID',
      lists(({ root, pckCa }) => [intelCrl(root, { thisUpdate: future }), intelCrl(pckCa)]),
    ],
    [
      'a list that another signed',
      'TDX_CRL_SIGNATURE',
      lists(({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa, { signingKey: root.privateKey })]),
    ],
    [
      'a root list that another signed',
      'TDX_CRL_SIGNATURE',
      lists(({ root, pckCa }) => [intelCrl(root, { signingKey: foreign.root.privateKey }), intelCrl(pckCa)]),
    ],
    [
      'a list with another hash',
      'TDX_CRL_SIGNATURE',
      lists(({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa, { hash: 'sha384' })]),
    ],
    [
      'a list with a critical extension',
      'TDX_CRL_UNSUPPORTED',
      lists(({ root, pckCa }) => [intelCrl(root), intelCrl(pckCa, { extensions: unknownCritical })]),
    ],
    [
      'a list with a critical extension of an entry',
      'TDX_CRL_UNSUPPORTED',
      lists(({ root, pckCa }) => [
        intelCrl(root),
        intelCrl(pckCa, { revoked: [1], entryExtensions: unknownCritical }),
      ]),
    ],
    [
      'a list of a PCK CA that may sign none',
      'TDX_CRL_SIGNATURE',
      { hierarchy: intelHierarchy({ pckCa: { keyUsage: KeyUsageFlags.keyCertSign } }) },
    ],
  ]);

  it('is refused with a list of another issuer', () => {
    const options = lists(({ root, pckCa }) => [
      intelCrl(root),
      intelCrl(pckCa, { issuerName: 'Intel SGX PCK Processor CA' }),
    ]);
    expect(verdict(appraiseTdx(options))).toBe('contraindicated TDX_CRL_ISSUER TDX_CRL_MISSING');
  });

  it('is incomplete without lists, unless they are optional', () => {
    const none = lists(() => []);
    expect(verdict(appraiseTdx(none))).toBe('none TDX_CRL_MISSING TDX_CRL_MISSING');
    const optional = appraiseTdx({ ...none, policy: { revocation: 'optional' } });
    expect([verdict(optional), optional.unchecked]).toEqual(['affirming', ['crl', 'report_data']]);
  });

  it('is incomplete with one list of two, even where they are optional', () => {
    for (const revocation of ['required', 'optional']) {
      for (const own of [lists(({ root }) => [intelCrl(root)]), lists(({ pckCa }) => [intelCrl(pckCa)])]) {
        expect(verdict(appraiseTdx({ ...own, policy: { revocation } }))).toBe('none TDX_CRL_MISSING');
      }
    }
  });
});

describe('collateral', () => {
  refuses([
    [
      'an untrusted signature',
      'TDX_COLLATERAL_SIGNATURE TDX_COLLATERAL_SIGNATURE',
      { documentKey: foreign.tcbSigning.privateKey },
    ],
    [
      'an unsigned QE identity',
      'TDX_COLLATERAL_UNREADABLE',
      { rewrite: (text) => (text.includes('TD_QE') ? text.replace(/,"signature":"\w+"/, '') : text) },
    ],
    [
      'a short signature',
      'TDX_COLLATERAL_UNREADABLE TDX_COLLATERAL_UNREADABLE',
      { rewrite: (text) => text.replace(/\w"\}$/, '"}') },
    ],
    [
      'a changed TCB info',
      'TDX_COLLATERAL_SIGNATURE',
      { rewrite: (text) => text.replace('"pcesvn":11', '"pcesvn":10') },
    ],
    [
      'documents that were written anew with spaces',
      'TDX_COLLATERAL_UNREADABLE TDX_COLLATERAL_UNREADABLE',
      { rewrite: (text) => JSON.stringify(JSON.parse(text), undefined, 1) },
    ],
    [
      'a document whose members were sorted anew',
      'TDX_COLLATERAL_SIGNATURE',
      { rewrite: (text) => text.replace('"id":"TDX","version":3', '"version":3,"id":"TDX"') },
    ],
    [
      'a member twice',
      'TDX_COLLATERAL_UNREADABLE',
      { rewrite: (text) => text.replace('"id":"TDX",', '"id":"TDX","id":"TDX",') },
    ],
    [
      'something beside the signed object',
      'TDX_COLLATERAL_UNREADABLE TDX_COLLATERAL_UNREADABLE',
      { rewrite: (text) => text.replace(/^\{/, '{"other":1,') },
    ],
    [
      'an expired TCB info',
      'TDX_COLLATERAL_EXPIRED',
      { tcbInfo: (json) => void (json['nextUpdate'] = '2025-12-31T00:00:00Z') },
    ],
    [
      'an expired QE identity',
      'TDX_COLLATERAL_EXPIRED',
      { qeIdentity: (json) => void (json['nextUpdate'] = '2025-12-31T00:00:00Z') },
    ],
    [
      'a TCB info from the future',
      'TDX_COLLATERAL_NOT_YET_VALID',
      { tcbInfo: (json) => void (json['issueDate'] = '2026-01-02T00:00:00Z') },
    ],
    [
      'a QE identity from the future',
      'TDX_COLLATERAL_NOT_YET_VALID',
      { qeIdentity: (json) => void (json['issueDate'] = '2026-01-02T00:00:00Z') },
    ],
    [
      'a TCB info without end',
      'TDX_COLLATERAL_UNREADABLE',
      { tcbInfo: (json) => void delete json['nextUpdate'] },
    ],
    [
      'a TCB info that ends at no time',
      'TDX_COLLATERAL_UNREADABLE',
      { tcbInfo: (json) => void (json['nextUpdate'] = 'never') },
    ],
    ['a TCB info of SGX', 'TDX_COLLATERAL_UNREADABLE', { tcbInfo: (json) => void (json['id'] = 'SGX') }],
    [
      'a TCB info of version 2',
      'TDX_COLLATERAL_UNREADABLE',
      { tcbInfo: (json) => void (json['version'] = 2) },
    ],
    [
      'a TCB info of another kind of comparison',
      'TDX_COLLATERAL_UNREADABLE',
      { tcbInfo: (json) => void (json['tcbType'] = 1) },
    ],
    ['a QE identity of SGX', 'TDX_COLLATERAL_UNREADABLE', { qeIdentity: (json) => void (json['id'] = 'QE') }],
    [
      'a QE identity of version 1',
      'TDX_COLLATERAL_UNREADABLE',
      { qeIdentity: (json) => void (json['version'] = 1) },
    ],
    [
      'an unknown status',
      'TDX_COLLATERAL_UNREADABLE',
      { tcbInfo: ({ tcbLevels: [level] }) => void (level!.tcbStatus = 'Fine') },
    ],
    [
      '15 components',
      'TDX_COLLATERAL_UNREADABLE',
      { tcbInfo: ({ tcbLevels: [level] }) => void (level!.tcb['sgxtcbcomponents'] as unknown[]).pop() },
    ],
    ['another FMSPC', 'TDX_TCB_INFO_FMSPC', { tcbInfo: (json) => void (json['fmspc'] = 'B0C06F000001') }],
    ['another PCE id', 'TDX_TCB_INFO_PCE_ID', { tcbInfo: (json) => void (json['pceId'] = '0001') }],
    ['a platform with another PCE id', 'TDX_TCB_INFO_PCE_ID', { platform: { pceId: Uint8Array.of(0, 1) } }],
  ]);

  const signer = (options: Parameters<typeof intelHierarchy>[0]): TdxCaseOptions => ({
    hierarchy: intelHierarchy(options),
  });
  refuses([
    [
      'an expired TCB signing certificate',
      'TDX_CERTIFICATE_EXPIRED',
      signer({ tcbSigning: { notAfter: past } }),
    ],
    [
      'a TCB signing certificate from the future',
      'TDX_CERTIFICATE_NOT_YET_VALID',
      signer({ tcbSigning: { notBefore: future } }),
    ],
    [
      'a TCB signing certificate that another signed',
      'TDX_CHAIN_SIGNATURE',
      signer({ tcbSigning: { signingKey: foreign.root.privateKey } }),
    ],
    [
      'a TCB signing certificate on another curve',
      'TDX_CERTIFICATE_CONSTRAINTS',
      { ...signer({ tcbSigning: { curve: 'P-384' } }), documentKey: foreign.root.privateKey },
    ],
    [
      'a TCB signing certificate with an unknown critical extension',
      'TDX_CERTIFICATE_CONSTRAINTS',
      signer({ tcbSigning: { extensions: unknownCritical } }),
    ],
    [
      'a TCB signing certificate of another trusted root',
      'TDX_CHAIN_SIGNATURE',
      {
        hierarchy: intel,
        documentKey: foreign.tcbSigning.privateKey,
        certificates: () => certificatesOf(foreign.tcbSigning, foreign.root),
        input: {
          simulatedRoots: [intel, foreign].map(({ rootFingerprint }) => ({
            namespace: 'x-tdx',
            fingerprint: rootFingerprint,
          })),
        },
      },
    ],
  ]);

  it('is not believed when anything but the TCB signing certificate signed it', () => {
    const pck = pckCertificate(intel);
    const named = signer({ tcbSigning: { name: 'Intel SGX PCK Certificate' } });
    expect(verdict(appraiseTdx(named))).toContain('TDX_COLLATERAL_SIGNER_MISSING');
    const options = { hierarchy: intel, documentKey: pck.privateKey };
    expect(verdict(appraiseTdx(options))).toContain('TDX_COLLATERAL_SIGNATURE');
  });

  it('is told to be missing, with what could be established without it', () => {
    const appraisal = appraiseTdx({
      withoutDocuments: true,
      crls: () => [],
      policy: { revocation: 'optional' },
    });
    expect(appraisal).toMatchObject({
      status: 'none',
      reasons: [
        { code: 'TDX_COLLATERAL_MISSING', message: 'There is no TCB info.' },
        { code: 'TDX_COLLATERAL_MISSING', message: 'There is no QE identity.' },
      ],
      claims: {
        verified: ['pck_chain', 'qe_report', 'qe_binding', 'quote_signature'],
        platform: { fmspc: 'b0c06f000000' },
      },
      trustworthiness: {},
    });
    expect(appraisal.claims).not.toHaveProperty('tcb_status');
    expect(verdict(appraiseTdx({ certificates: () => [] }))).toBe(
      'none TDX_COLLATERAL_SIGNER_MISSING TDX_COLLATERAL_SIGNER_MISSING',
    );
  });

  it('is told to be missing only where nothing is wrong', () => {
    const quote = { report: { tdAttributes: 1n } };
    const appraisal = appraiseTdx({ withoutDocuments: true, quote });
    expect(verdict(appraisal)).toBe(
      'contraindicated TDX_DEBUG TDX_COLLATERAL_MISSING TDX_COLLATERAL_MISSING',
    );
    expect(appraisal.trustworthiness).toMatchObject({ hardware: 0, 'runtime-opaque': 96 });
  });
});

describe('the TDX module', () => {
  const seamAttributes = { quote: { report: { seamAttributes: 1n } } };
  refuses([
    [
      'no identity of its major version',
      'TDX_MODULE_UNKNOWN',
      { quote: { report: { teeTcbSvn: [6, 3, 3] } } },
    ],
    [
      'no identities',
      'TDX_MODULE_UNKNOWN',
      { tcbInfo: (json) => void delete (json as Record<string, unknown>)['tdxModuleIdentities'] },
    ],
    [
      'another signer',
      'TDX_MODULE_SIGNER',
      { quote: { report: { mrSignerSeam: new Uint8Array(48).fill(1) } } },
    ],
    [
      'another signer of a module without an identity',
      'TDX_MODULE_SIGNER',
      { quote: { report: { teeTcbSvn: [5, 0, 2], mrSignerSeam: new Uint8Array(48).fill(1) } } },
    ],
    ['attributes', 'TDX_MODULE_ATTRIBUTES TDX_MODULE_ATTRIBUTES', seamAttributes],
    [
      'attributes that even its identity has',
      'TDX_MODULE_ATTRIBUTES',
      {
        ...seamAttributes,
        tcbInfo: ({ tdxModuleIdentities: [module] }) => void (module!['attributes'] = '0100000000000000'),
      },
    ],
    [
      'attributes that its identity demands and it lacks',
      'TDX_MODULE_ATTRIBUTES',
      { tcbInfo: ({ tdxModuleIdentities: [module] }) => void (module!['attributes'] = '0100000000000000') },
    ],
    ['a version below every level', 'TDX_TCB_UNSUPPORTED', { quote: { report: { teeTcbSvn: [1, 1, 3] } } }],
  ]);

  it('warns when it is out of date', () => {
    const appraisal = appraiseTdx({ quote: { report: { teeTcbSvn: [3, 1, 3] } } });
    expect(verdict(appraisal)).toBe('warning TDX_TCB_STATUS');
    expect(appraisal.claims).toMatchObject({
      tcb_status: 'OutOfDate',
      tcb: { module: { status: 'OutOfDate' } },
    });
  });
});

describe('the quoting enclave', () => {
  refuses([
    ['another signer', 'TDX_QE_IDENTITY', { quote: { qe: { mrsigner: new Uint8Array(32) } } }],
    ['another product', 'TDX_QE_IDENTITY', { quote: { qe: { isvProdId: 1 } } }],
    [
      'other attributes',
      'TDX_QE_IDENTITY',
      { quote: { qe: { attributes: Uint8Array.of(0x31, ...new Uint8Array(15)) } } },
    ],
    ['another miscselect', 'TDX_QE_IDENTITY', { quote: { qe: { miscselect: 1 } } }],
    ['a version below every level', 'TDX_TCB_UNSUPPORTED', { quote: { qe: { isvSvn: 1 } } }],
  ]);

  it('may have attributes that the mask leaves open', () => {
    const attributes = Uint8Array.of(0x15, 0, 0, 0, 0, 0, 0, 0, 0xff, ...new Uint8Array(7));
    expect(verdict(appraiseTdx({ quote: { qe: { attributes } } }))).toBe('affirming');
  });

  it('warns when it is out of date', () => {
    const appraisal = appraiseTdx({ quote: { qe: { isvSvn: 3 } } });
    expect(verdict(appraisal)).toBe('warning TDX_TCB_STATUS');
    expect(appraisal.claims).toMatchObject({
      tcb: { advisories: ['INTEL-SA-00700'], qe: { status: 'OutOfDate' } },
    });
  });
});

describe('the binding and the attributes of a TD', () => {
  refuses([
    ['another nonce', 'TDX_REPORT_DATA', { input: { reportData: new Uint8Array(64) } }],
    [
      'the beginning of the nonce',
      'TDX_REPORT_DATA',
      { input: { reportData: defaultReportData.subarray(0, 32) } },
    ],
    ['an empty nonce', 'TDX_REPORT_DATA', { input: { reportData: new Uint8Array() } }],
    ...[4n, 15n, 20n, 32n, 61n].map((bit): Row => [
      `unknown attribute ${bit}`,
      bit < 8n ? 'TDX_TD_ATTRIBUTES_UNKNOWN TDX_DEBUG' : 'TDX_TD_ATTRIBUTES_UNKNOWN',
      { quote: { report: { tdAttributes: 1n << bit } } },
    ]),
  ]);

  it('says so when there was no nonce to compare', () => {
    expect(appraiseTdx().unchecked).toEqual(['report_data']);
    expect(appraiseTdx({ input: { reportData: defaultReportData, at } }).unchecked).toEqual([]);
  });
});

/** A point on the curve that belongs to no one here. */
function otherPoint(): Uint8Array {
  const { evidence } = tdxCase().evidence;
  const start = 48 + 584 + 4 + 64;
  return evidence.subarray(start, start + 64);
}
