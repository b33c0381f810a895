import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { pinnedRoots } from '@muster/shared/evidence/x-snp/product.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';
import {
  chipCertificate,
  defaultHwid,
  defaultTcb,
  defaultTurinTcb,
  extension,
  issueCertificate,
  revocationList,
  rsaKey,
  snpHierarchy,
} from '../../../support/snp-builder.js';
import { certificateGuids, certificateTable, encodeTcb, signSnpReport } from '../../../support/snp-report.js';
import { appraiseSnp, at, snpCase, verdict, type SnpCaseOptions } from '../../../support/snp-case.js';

const milan = snpHierarchy();
const dayMs = 86_400_000;
const before = new Date(at.getTime() - dayMs);
const after = new Date(at.getTime() + dayMs);
const amd = '1.3.6.1.4.1.3704.1';

describe('genuine reports', () => {
  const genuine: readonly (readonly [string, SnpCaseOptions])[] = [
    ['Milan, version 2', { fields: { version: 2 } }],
    ['Milan, version 3', {}],
    ['Milan, version 5', { fields: { version: 5, launchMitigations: 3n, currentMitigations: 7n } }],
    ['Milan, model 0Fh', { fields: { cpuid: [0x19, 0x0f, 0] } }],
    ['Genoa', { product: 'Genoa' }],
    ['Genoa, model A0h', { product: 'Genoa', fields: { cpuid: [0x19, 0xa0, 2] } }],
    ["Genoa's line under another name", { product: 'Genoa', chip: { productName: 'Siena-B1' } }],
    ['Turin', { product: 'Turin' }],
    ['Turin, version 5', { product: 'Turin', fields: { version: 5 } }],
    ['Turin, model 11h', { product: 'Turin', fields: { cpuid: [0x1a, 0x11, 0] } }],
    ['a VLEK', { chip: { kind: 'VLEK' } }],
    ['a VLEK, version 2', { chip: { kind: 'VLEK' }, fields: { version: 2 } }],
    ['a hardware id in an OCTET STRING', { chip: { hwidWrapped: true } }],
    [
      'a TCB that is newer than the committed and the reported one',
      { fields: { currentTcb: { bootloader: 5, tee: 1, snp: 25, microcode: 255 } } },
    ],
    [
      'a TCB component above 127',
      {
        chip: { tcb: { ...defaultTcb, microcode: 200 } },
        fields: { reportedTcb: { ...defaultTcb, microcode: 200 } },
      },
    ],
  ];

  it.each(genuine)('%s: affirmed', async (_, options) => {
    expect(await appraiseSnp(options)).toMatchObject({ status: 'affirming', reasons: [], simulated: true });
  });

  it('affirms one part of the vector after another', async () => {
    expect((await appraiseSnp()).trustworthiness).toEqual({
      'instance-identity': 2,
      configuration: 2,
      executables: 0,
      hardware: 2,
      'runtime-opaque': 2,
    });
    const measured = await appraiseSnp({ policy: { measurements: ['5a'.repeat(48)] } });
    expect(measured.trustworthiness).toMatchObject({ executables: 2 });
  });

  it('shows what the report says', async () => {
    expect(
      (await appraiseSnp({ product: 'Turin', fields: { version: 5, launchMitigations: 5n } })).claims,
    ).toMatchObject({
      version: 5,
      product: 'Turin',
      signing_key: 'VCEK',
      measurement: '5a'.repeat(48),
      vmpl: 0,
      guest_policy: { abi: '0.31', debug: false, smt: true },
      platform_info: { smt: true, alias_check: true },
      tcb: { reported: { ...defaultTurinTcb } },
      firmware: { committed: '1.55.29' },
      mitigations: { launch: '0x5', current: '0x0' },
    });
    expect((await appraiseSnp({ chip: { kind: 'VLEK' } })).claims).toMatchObject({
      csp: 'CN=cc-test.example.org',
    });
  });

  it('takes certificates from the table beside the report', async () => {
    const input = snpCase({ certificates: () => [] });
    const holder = chipCertificate(milan);
    const auxiliary = certificateTable([
      { guid: certificateGuids.ARK, certificate: milan.ark.certificate },
      { guid: certificateGuids.VCEK, certificate: holder.certificate },
      { guid: certificateGuids.ASK, certificate: milan.ask.certificate },
      { guid: '00000000-1111-2222-3333-444444444444', certificate: Uint8Array.of(1, 2, 3) },
    ]);
    const evidence = {
      ...input.evidence,
      evidence: signSnpReport(input.evidence.evidence, holder.privateKey),
    };
    expect(verdict(await snpVerifier.appraise({ ...input, evidence }))).toBe(
      'none SNP_CHIP_CERTIFICATE_MISSING',
    );
    expect(verdict(await snpVerifier.appraise({ ...input, evidence: { ...evidence, auxiliary } }))).toBe(
      'affirming',
    );
  });

  it('finds the fitting certificates among unfit ones, in any order', async () => {
    const foreign = snpHierarchy({ keySet: 'foreign' });
    const genoa = snpHierarchy({ product: 'Genoa' });
    const verdicts = [false, true].map(async (reversed) =>
      verdict(
        await appraiseSnp({
          certificates: (chip, { ark, ask }) => {
            const all = [
              chipCertificate(milan, { hwid: new Uint8Array(64).fill(9) }),
              chipCertificate(milan),
              chipCertificate(foreign),
              foreign.ark,
              foreign.ask,
              genoa.ark,
              genoa.ask,
              ask,
              ark,
              chip,
            ].map(({ certificate }) => certificate);
            return reversed ? all.toReversed() : all;
          },
        }),
      ),
    );
    expect(await Promise.all(verdicts)).toEqual(['affirming', 'affirming']);
  });
});

describe('the form of a report', () => {
  const spoilt: readonly (readonly [string, SnpCaseOptions])[] = [
    ['SNP_REPORT_VERSION', { fields: { version: 1 } }],
    ['SNP_REPORT_VERSION', { fields: { version: 4 } }],
    ['SNP_REPORT_VERSION', { fields: { version: 6 } }],
    ['SNP_SIGNATURE_ALGORITHM', { fields: { signatureAlgorithm: 0 } }],
    ['SNP_SIGNATURE_ALGORITHM', { fields: { signatureAlgorithm: 2 } }],
    ['SNP_SIGNING_KEY', { fields: { signerFlags: 7 << 2 } }],
    ['SNP_SIGNING_KEY', { fields: { signerFlags: 2 << 2 } }],
    ['SNP_GUEST_POLICY', { fields: { policy: 0x1001fn } }],
    ['SNP_GUEST_POLICY', { fields: { policy: 0x3001fn | (1n << 26n) } }],
    ['SNP_GUEST_POLICY', { fields: { policy: 0x3001fn | (1n << 63n) } }],
    ['SNP_PLATFORM_INFO', { fields: { platformInfo: 1n << 8n } }],
    ['SNP_PLATFORM_INFO', { fields: { platformInfo: 1n << 6n } }],
    ['SNP_RESERVED_NOT_ZERO', { fields: { signerFlags: 1 << 5 } }],
    ['SNP_RESERVED_NOT_ZERO', { alter: (report) => (report[0x4c] = 1) }],
    ['SNP_RESERVED_NOT_ZERO', { fields: { version: 2 }, alter: (report) => (report[0x188] = 1) }],
    ['SNP_RESERVED_NOT_ZERO', { alter: (report) => (report[0x18b] = 1) }],
    ['SNP_RESERVED_NOT_ZERO', { alter: (report) => (report[0x1eb] = 1) }],
    ['SNP_RESERVED_NOT_ZERO', { alter: (report) => (report[0x1ef] = 1) }],
    ['SNP_RESERVED_NOT_ZERO', { alter: (report) => (report[0x1f8] = 1) }],
    ['SNP_RESERVED_NOT_ZERO', { fields: { version: 5 }, alter: (report) => (report[0x208] = 1) }],
    ['SNP_PRODUCT_UNKNOWN', { fields: { cpuid: [0x17, 0x31, 0] } }],
    ['SNP_PRODUCT_UNKNOWN', { fields: { cpuid: [0x19, 0x20, 0] } }],
    ['SNP_PRODUCT_UNKNOWN', { fields: { cpuid: [0x1a, 0x12, 0] } }],
    ['SNP_TCB_RESERVED', { alter: (report) => (report[0x38 + 2] = 1) }],
    ['SNP_TCB_RESERVED', { product: 'Turin', alter: (report) => (report[0x1f0 + 4] = 1) }],
  ];

  it.each(spoilt)('%s', async (code, options) => {
    expect(verdict(await appraiseSnp(options))).toBe(`contraindicated ${code}`);
  });

  it.each([0, 1183, 1185, 4000])('SNP_REPORT_LENGTH: %d bytes', async (length) => {
    const evidence = { namespace: 'x-snp', evidence: new Uint8Array(length) };
    expect(verdict(await appraiseSnp({ input: { evidence } }))).toBe('contraindicated SNP_REPORT_LENGTH');
  });

  it.each([0x2a0 + 48, 0x2a0 + 71, 0x2e8 + 48, 0x330, 1183])(
    'SNP_RESERVED_NOT_ZERO: after the signature, at %d',
    async (offset) => {
      const { evidence, ...input } = snpCase();
      const changed = Uint8Array.from(evidence.evidence);
      changed[offset] = 1;
      const appraisal = await snpVerifier.appraise({
        ...input,
        evidence: { ...evidence, evidence: changed },
      });
      expect(verdict(appraisal)).toBe('contraindicated SNP_RESERVED_NOT_ZERO');
    },
  );

  it('SNP_CLOCK_INVALID', async () => {
    expect(verdict(await appraiseSnp({ input: { at: new Date(Number.NaN) } }))).toBe(
      'contraindicated SNP_CLOCK_INVALID',
    );
  });

  it('SNP_REPORT_SIGNATURE: by another key, or none at all', async () => {
    const { evidence, ...input } = snpCase();
    const other = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
    const forged = [
      signSnpReport(evidence.evidence, other),
      Uint8Array.from(evidence.evidence).fill(0, 0x2a0),
    ];
    for (const bytes of forged) {
      const appraisal = await snpVerifier.appraise({ ...input, evidence: { ...evidence, evidence: bytes } });
      expect(verdict(appraisal)).toBe('contraindicated SNP_REPORT_SIGNATURE');
      expect(appraisal.trustworthiness).toMatchObject({ hardware: 99, 'instance-identity': 99 });
    }
  });
});

describe('the certificate chain', () => {
  const chain = (hierarchy: Parameters<typeof snpHierarchy>[0]): SnpCaseOptions => ({
    hierarchy: snpHierarchy(hierarchy),
  });
  const foreign = snpHierarchy({ keySet: 'foreign' });
  const onlyOf =
    (...roles: readonly ('chip' | 'ask' | 'asvk' | 'ark')[]): NonNullable<SnpCaseOptions['certificates']> =>
    (chip, hierarchy) =>
      roles.map((role) => (role === 'chip' ? chip : hierarchy[role]).certificate);
  const unknownCritical = extension('1.2.3.4', Uint8Array.of(5, 0), true);

  const incomplete: readonly (readonly [string, SnpCaseOptions])[] = [
    ['SNP_CHIP_CERTIFICATE_MISSING', { certificates: () => [] }],
    ['SNP_CHIP_CERTIFICATE_MISSING', { certificates: onlyOf('ask', 'ark') }],
    ['SNP_CHIP_CERTIFICATE_MISSING', { certificates: onlyOf('ask', 'ark'), fields: { version: 2 } }],
    ['SNP_INTERMEDIATE_MISSING', { certificates: onlyOf('chip', 'ark') }],
    ['SNP_ROOT_MISSING', { certificates: onlyOf('chip', 'ask') }],
  ];

  it.each(incomplete)('%s: nothing can be said', async (code, options) => {
    expect(verdict(await appraiseSnp(options))).toBe(`none ${code}`);
    expect((await appraiseSnp(options)).trustworthiness).toEqual({});
  });

  const broken: readonly (readonly [string, string, SnpCaseOptions])[] = [
    ['SNP_ROOT_UNTRUSTED', 'no simulated roots', { input: { simulatedRoots: [] } }],
    [
      'SNP_ROOT_UNTRUSTED',
      'a simulated root of another namespace',
      { input: { simulatedRoots: [{ namespace: 'x-tdx', fingerprint: milan.rootFingerprint }] } },
    ],
    [
      'SNP_ROOT_UNTRUSTED',
      "a root with AMD's name and another key",
      { input: { simulatedRoots: [{ namespace: 'x-snp', fingerprint: pinnedRoots.Milan }] } },
    ],
    ['SNP_CERTIFICATE_EXPIRED', 'ARK', chain({ ark: { notAfter: before } })],
    ['SNP_CERTIFICATE_EXPIRED', 'ASK', chain({ ask: { notAfter: before } })],
    ['SNP_CERTIFICATE_EXPIRED', 'VCEK', { chip: { notAfter: before } }],
    ['SNP_CERTIFICATE_NOT_YET_VALID', 'ARK', chain({ ark: { notBefore: after } })],
    ['SNP_CERTIFICATE_NOT_YET_VALID', 'ASK', chain({ ask: { notBefore: after } })],
    ['SNP_CERTIFICATE_NOT_YET_VALID', 'VCEK', { chip: { notBefore: after } }],
    ['SNP_CERTIFICATE_CONSTRAINTS', 'ARK without keyCertSign', chain({ ark: { keyUsage: 64 } })],
    ['SNP_CERTIFICATE_CONSTRAINTS', 'ASK that is no CA', chain({ ask: { ca: false } })],
    ['SNP_CERTIFICATE_CONSTRAINTS', 'ASK for signatures only', chain({ ask: { keyUsage: 1 } })],
    ['SNP_CERTIFICATE_CONSTRAINTS', 'ARK, critical', chain({ ark: { extensions: [unknownCritical] } })],
    ['SNP_CERTIFICATE_CONSTRAINTS', 'ASK, critical', chain({ ask: { extensions: [unknownCritical] } })],
    ['SNP_CERTIFICATE_CONSTRAINTS', 'VCEK, critical', { chip: { extensions: [unknownCritical] } }],
    ['SNP_CHAIN_SIGNATURE', 'ARK by another key', chain({ ark: { signingKey: rsaKey('other').privateKey } })],
    ['SNP_CHAIN_SIGNATURE', 'ASK by another key', chain({ ask: { signingKey: rsaKey('other').privateKey } })],
    ['SNP_CHAIN_SIGNATURE', 'ASK with SHA-256', chain({ ask: { hash: 'sha256' } })],
    ['SNP_CHAIN_SIGNATURE', 'VCEK with SHA-256', { chip: { hash: 'sha256' } }],
    [
      'SNP_CHAIN_SIGNATURE',
      "VCEK by another vendor's ASK of the same name",
      {
        certificates: () =>
          [chipCertificate(foreign), milan.ask, milan.ark].map((holder) => holder.certificate),
      },
    ],
    ['SNP_CHAIN_BROKEN', 'ASK of another issuer', chain({ ask: { issuerName: 'ARK-Elsewhere' } })],
    ['SNP_CHAIN_BROKEN', 'VCEK of another issuer', { chip: { issuerName: 'SEV-Genoa' } }],
    ['SNP_CHAIN_BROKEN', 'a VCEK that signed itself', { chip: { issuerName: 'SEV-VCEK' } }],
    ['SNP_CHAIN_BROKEN', 'a VCEK by the ASVK', { chip: { issuer: milan.asvk } }],
    ['SNP_CHAIN_BROKEN', 'a VLEK by the ASK', { chip: { kind: 'VLEK', issuer: milan.ask } }],
    ['SNP_SIGNER_MISMATCH', 'a VLEK for a VCEK', { chip: { kind: 'VLEK' }, fields: { signerFlags: 0 } }],
    ['SNP_SIGNER_MISMATCH', 'a VCEK for a VLEK', { fields: { signerFlags: 1 << 2 } }],
    ['SNP_CERTIFICATE_EXTENSION', 'no hardware id', { chip: { without: [`${amd}.4`] } }],
    ['SNP_CERTIFICATE_EXTENSION', 'a short hardware id', { chip: { hwid: new Uint8Array(8) } }],
    ['SNP_CERTIFICATE_EXTENSION', 'no product', { chip: { without: [`${amd}.2`] } }],
    ['SNP_CERTIFICATE_EXTENSION', 'no boot loader', { chip: { without: [`${amd}.3.1`] } }],
    ['SNP_CERTIFICATE_EXTENSION', 'no TEE', { chip: { without: [`${amd}.3.2`] } }],
    ['SNP_CERTIFICATE_EXTENSION', 'no SNP', { chip: { without: [`${amd}.3.3`] } }],
    ['SNP_CERTIFICATE_EXTENSION', 'no microcode', { chip: { without: [`${amd}.3.8`] } }],
    ['SNP_CERTIFICATE_EXTENSION', 'no FMC', { product: 'Turin', chip: { without: [`${amd}.3.9`] } }],
    ['SNP_CERTIFICATE_EXTENSION', 'no CSP', { chip: { kind: 'VLEK', without: [`${amd}.5`] } }],
    [
      'SNP_CERTIFICATE_EXTENSION',
      'a VLEK with a hardware id',
      { chip: { kind: 'VLEK', extensions: [extension(`${amd}.4`, defaultHwid())] } },
    ],
    [
      'SNP_CERTIFICATE_EXTENSION',
      'a VCEK with a provider',
      { chip: { extensions: [extension(`${amd}.5`, Uint8Array.of(0x16, 1, 0x41))] } },
    ],
    ['SNP_CERTIFICATE_PRODUCT', 'another product', { chip: { productName: 'Genoa-B1' } }],
    ['SNP_CERTIFICATE_CHIP', 'another chip', { chip: { hwid: new Uint8Array(64).fill(1) } }],
    ['SNP_CERTIFICATE_CHIP', 'a masked chip', { fields: { chipId: new Uint8Array(64) } }],
    [
      'SNP_CERTIFICATE_CHIP',
      'another Turin',
      { product: 'Turin', chip: { hwid: new Uint8Array(8).fill(1) } },
    ],
    [
      'SNP_CERTIFICATE_CHIP',
      "bytes after Turin's 8",
      { product: 'Turin', fields: { chipId: Uint8Array.from([...defaultHwid('Turin'), 1]) } },
    ],
    [
      'SNP_CERTIFICATE_CHIP',
      'a VLEK with a chip',
      { chip: { kind: 'VLEK' }, fields: { chipId: defaultHwid() } },
    ],
    ['SNP_CERTIFICATE_TCB', 'boot loader', { chip: { tcb: { ...defaultTcb, bootloader: 3 } } }],
    ['SNP_CERTIFICATE_TCB', 'TEE', { chip: { tcb: { ...defaultTcb, tee: 1 } } }],
    ['SNP_CERTIFICATE_TCB', 'SNP', { chip: { tcb: { ...defaultTcb, snp: 25 } } }],
    ['SNP_CERTIFICATE_TCB', 'microcode', { chip: { tcb: { ...defaultTcb, microcode: 218 } } }],
    ['SNP_CERTIFICATE_TCB', 'FMC', { product: 'Turin', chip: { tcb: { ...defaultTurinTcb, fmc: 2 } } }],
    [
      'SNP_TCB_RESERVED',
      "Turin's TCB in Milan's layout",
      {
        product: 'Turin',
        alter: (report) => report.set(encodeTcb('Milan', { ...defaultTcb, snp: 9 }), 0x180),
      },
    ],
    ['SNP_CERTIFICATE_UNREADABLE', 'garbage', { certificates: () => [Uint8Array.of(0x30, 1, 2)] }],
    [
      'SNP_CERTIFICATE_UNREADABLE',
      'trailing bytes',
      { certificates: (chip) => [Uint8Array.from([...chip.certificate, 0])] },
    ],
    [
      'SNP_CERTIFICATE_UNREADABLE',
      'an extension twice',
      { chip: { extensions: [extension(`${amd}.3.1`, Uint8Array.of(2, 1, 4))] } },
    ],
    [
      'SNP_CERTIFICATES_EXCESSIVE',
      '25 of them',
      { certificates: () => Array.from({ length: 25 }, () => chipCertificate(milan).certificate) },
    ],
    [
      'SNP_PRODUCT_UNKNOWN',
      'version 2 with a certificate of no product',
      { fields: { version: 2 }, chip: { productName: 'Rome', issuerName: 'SEV-Rome' } },
    ],
  ];

  it.each(broken)('%s: %s', async (code, _, options) => {
    expect(verdict(await appraiseSnp(options))).toBe(`contraindicated ${code}`);
  });

  it('lets a simulated root serve every product', async () => {
    const options: SnpCaseOptions = { fields: { cpuid: [0x19, 0x11, 1] }, chip: { productName: 'Genoa-B1' } };
    expect(verdict(await appraiseSnp(options))).toBe('affirming');
  });

  it('SNP_CERTIFICATE_KEY: another curve', async () => {
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { evidence, ...input } = snpCase();
    const chip = chipCertificate(milan, { keys });
    const certificates = [chip, milan.ask, milan.ark].map(({ certificate }) => certificate);
    const endorsements = { ...input.endorsements, certificates };
    expect(verdict(await snpVerifier.appraise({ ...input, evidence, endorsements }))).toBe(
      'contraindicated SNP_CERTIFICATE_KEY',
    );
  });

  it('ignores certificates that have no part in it', async () => {
    const unrelated = issueCertificate({
      subject: 'Somebody else',
      issuer: 'Somebody else',
      serial: 7,
      publicKey: rsaKey('other').publicKey,
      signingKey: rsaKey('other').privateKey,
      extensions: [],
    });
    const certificates: SnpCaseOptions['certificates'] = (chip, { ask, ark }) => [
      unrelated,
      chip.certificate,
      ask.certificate,
      ark.certificate,
    ];
    expect(verdict(await appraiseSnp({ certificates }))).toBe('affirming');
    expect(verdict(await appraiseSnp({ certificates: () => [unrelated] }))).toBe(
      'none SNP_CHIP_CERTIFICATE_MISSING',
    );
  });

  it('SNP_CERTIFICATE_TABLE: a malformed table', async () => {
    const { evidence, ...input } = snpCase();
    const auxiliary = certificateTable([
      { guid: certificateGuids.VCEK, certificate: new Uint8Array(9) },
    ]).subarray(0, 40);
    const appraisal = await snpVerifier.appraise({ ...input, evidence: { ...evidence, auxiliary } });
    expect(verdict(appraisal)).toBe('contraindicated SNP_CERTIFICATE_TABLE');
  });
});

describe('revocation', () => {
  const foreign = snpHierarchy({ keySet: 'foreign' });
  const genoa = snpHierarchy({ product: 'Genoa' });
  const critical = extension('2.5.29.28', Uint8Array.of(0x30, 0), true);
  const refused: readonly (readonly [string, string, readonly Uint8Array[]])[] = [
    ['SNP_CRL_UNREADABLE', 'garbage', [Uint8Array.of(1, 2, 3)]],
    ['SNP_CRL_UNREADABLE', 'trailing bytes', [Uint8Array.from([...revocationList(milan), 0])]],
    ['SNP_CRL_ISSUER', "another product's", [revocationList(genoa)]],
    ['SNP_CRL_SIGNATURE', 'another key', [revocationList(foreign)]],
    ['SNP_CRL_SIGNATURE', 'SHA-256', [revocationList(milan, { hash: 'sha256' })]],
    ['SNP_CRL_NOT_YET_VALID', 'from the future', [revocationList(milan, { thisUpdate: after })]],
    ['SNP_CRL_EXPIRED', 'out of date', [revocationList(milan, { nextUpdate: before })]],
    ['SNP_CRL_EXPIRED', 'without an end', [revocationList(milan, { nextUpdate: null })]],
    ['SNP_CRL_UNSUPPORTED', 'critical extension', [revocationList(milan, { extensions: [critical] })]],
    [
      'SNP_CRL_UNSUPPORTED',
      'critical extension of an entry',
      [revocationList(milan, { revoked: [5], entryExtensions: [critical] })],
    ],
    ['SNP_CERTIFICATE_REVOKED', 'the ASK', [revocationList(milan, { revoked: [5, 0x10001] })]],
    ['SNP_CERTIFICATE_REVOKED', 'the ARK', [revocationList(milan, { revoked: [0x10000] })]],
    [
      'SNP_CERTIFICATE_REVOKED',
      'in one of two lists',
      [revocationList(milan), revocationList(milan, { revoked: [0x10001] })],
    ],
  ];

  it.each(refused)('%s: %s', async (code, _, crls) => {
    for (const revocation of ['required', 'optional']) {
      expect(verdict(await appraiseSnp({ crls, policy: { revocation } }))).toBe(`contraindicated ${code}`);
    }
  });

  it('SNP_CRL_SIGNATURE: a root that may not sign lists', async () => {
    const hierarchy = snpHierarchy({ ark: { keyUsage: 32 } });
    expect(verdict(await appraiseSnp({ hierarchy }))).toBe('contraindicated SNP_CRL_SIGNATURE');
  });

  it('SNP_CERTIFICATE_REVOKED: the ASVK of a VLEK, and a chip certificate with a serial number', async () => {
    const asvk = [revocationList(milan, { revoked: [0x10101] })];
    expect(verdict(await appraiseSnp({ chip: { kind: 'VLEK' }, crls: asvk }))).toBe(
      'contraindicated SNP_CERTIFICATE_REVOKED',
    );
    expect(verdict(await appraiseSnp({ crls: asvk }))).toBe('affirming');
    const chip = [revocationList(milan, { revoked: [77] })];
    expect(verdict(await appraiseSnp({ chip: { serial: 77 }, crls: chip }))).toBe(
      'contraindicated SNP_CERTIFICATE_REVOKED',
    );
  });

  it('takes a current list although others are unfit', async () => {
    const crls = [
      revocationList(milan, { nextUpdate: before }),
      revocationList(genoa),
      Uint8Array.of(1),
      revocationList(milan, { revoked: [5, 0] }),
    ];
    expect(verdict(await appraiseSnp({ crls }))).toBe('affirming');
  });

  it('SNP_CRL_MISSING: nothing can be said where the policy requires a list', async () => {
    expect(await appraiseSnp({ crls: [] })).toMatchObject({
      status: 'none',
      reasons: [{ code: 'SNP_CRL_MISSING' }],
      trustworthiness: {},
    });
    expect(await appraiseSnp({ crls: [], policy: { revocation: 'optional' } })).toMatchObject({
      status: 'affirming',
      unchecked: ['crl', 'report_data'],
    });
  });
});

describe('binding', () => {
  const reportData = Uint8Array.from({ length: 64 }, (_, index) => index);

  it('affirms the expected report data', async () => {
    expect(await appraiseSnp({ fields: { reportData }, input: { reportData } })).toMatchObject({
      status: 'affirming',
      unchecked: [],
    });
  });

  it.each([
    ['another value', reportData.toReversed()],
    ['a shorter value', reportData.subarray(0, 32)],
    ['nothing', new Uint8Array()],
  ])('SNP_REPORT_DATA: %s', async (_, expected) => {
    expect(verdict(await appraiseSnp({ fields: { reportData }, input: { reportData: expected } }))).toBe(
      'contraindicated SNP_REPORT_DATA',
    );
  });
});

describe('consistency', () => {
  const inconsistent: readonly (readonly [string, SnpCaseOptions])[] = [
    ['committed above current', { fields: { committedTcb: { ...defaultTcb, snp: 25 } } }],
    ['launch above current', { fields: { launchTcb: { ...defaultTcb, bootloader: 5 } } }],
    [
      'reported above current, though lower in another component',
      { fields: { currentTcb: { ...defaultTcb, tee: 9, microcode: 218 } } },
    ],
    ['committed firmware above the current', { fields: { committedVersion: [1, 56, 0] } }],
    ['committed build above the current', { fields: { committedVersion: [1, 55, 30] } }],
    ['FMC', { product: 'Turin', fields: { launchTcb: { ...defaultTurinTcb, fmc: 2 } } }],
  ];

  it.each(inconsistent)('SNP_TCB_INCONSISTENT: %s', async (_, options) => {
    expect(verdict(await appraiseSnp(options))).toBe('contraindicated SNP_TCB_INCONSISTENT');
  });
});
