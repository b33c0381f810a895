import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { Appraisal } from '@muster/shared/evidence/appraisal.js';
import { azureCvmVerifier } from '@muster/shared/evidence/x-az-cvm/verifier.js';
import { parseHclReport } from '@muster/shared/evidence/x-az-cvm/hcl-report.js';
import fc from 'fast-check';
import {
  attestationJwk,
  azureMachine,
  hclReport,
  runtimeJson,
  vtpmKey,
  type AzureMachine,
} from '../../../support/azure-builder.js';
import { at, verdict } from '../../../support/snp-case.js';
import { allPcrs, ecKey, pcrValue, rsaKey } from '../../../support/tpm-builder.js';

const reportData = createHash('sha512').update('a binding').digest();
const nonce = createHash('sha256').update(reportData).digest();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A machine, and what its verifier is told. */
interface Options extends AzureMachine {
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly at?: Date;
  readonly isBound?: false;
  readonly simulatedNamespace?: string;
}

function appraise({
  policy = {},
  at: time = at,
  isBound,
  simulatedNamespace,
  ...machine
}: Options = {}): Promise<Appraisal> {
  const { evidence, endorsements, simulatedRoots } = azureMachine({
    ...machine,
    quote: { nonce, ...machine.quote },
  });
  return azureCvmVerifier.appraise({
    evidence: { namespace: 'x-az-cvm', evidence },
    endorsements,
    policy: azureCvmVerifier.policySchema.parse(policy),
    at: time,
    simulatedRoots: simulatedRoots.map((root) => ({
      ...root,
      namespace: simulatedNamespace ?? root.namespace,
    })),
    ...(isBound === false ? {} : { reportData }),
  });
}

describe('genuine machines', () => {
  const genuine: readonly (readonly [string, Options])[] = [
    ['SEV-SNP', {}],
    ['TDX', { tee: 'tdx' }],
    ['the report data itself as the nonce', { quote: { nonce: reportData } }],
    ['secure boot, as the policy asks', { policy: { require_secure_boot: true } }],
    ['no console, as the policy asks', { policy: { console: false } }],
    ['a PCR of its allowed value', { policy: { pcrs: { sha256: { 4: [hex(pcrValue(4))] } } } }],
    [
      'the form before versions were numbered',
      {
        alter: (json) => {
          const { message, signature, pcrs } = json['tpm_quote'] as {
            message: string;
            signature: string;
            pcrs: string[];
          };
          const numbers = (text: string, encoding: BufferEncoding): number[] => [
            ...Buffer.from(text, encoding),
          ];
          const vcek = String(json['vcek']);
          const report = numbers(String(json['hcl_report']), 'base64url');
          for (const key of Object.keys(json)) Reflect.deleteProperty(json, key);
          json['report'] = report;
          json['quote'] = {
            message: numbers(message, 'hex'),
            signature: numbers(signature, 'hex'),
            pcrs: pcrs.map((value) => numbers(value, 'hex')),
          };
          json['vcek'] = `-----BEGIN CERTIFICATE-----\n${vcek}\n-----END CERTIFICATE-----\n`;
        },
      },
    ],
  ];

  it.each(genuine)('%s: affirmed', async (_, options) => {
    expect(await appraise(options)).toMatchObject({
      status: 'affirming',
      reasons: [],
      simulated: true,
      unchecked: [],
    });
  });

  it('shows what the VM and its hardware say', async () => {
    expect((await appraise()).claims).toMatchObject({
      tee: 'snp',
      quote_signature: 'holds',
      vm_configuration: { 'secure-boot': true },
      nonce: hex(nonce),
      snp: { product: 'Milan', measurement: '5a'.repeat(48) },
    });
    expect(await appraise({ isBound: false })).toMatchObject({
      status: 'affirming',
      unchecked: ['report_data'],
    });
  });

  it("adds to the hardware's vector", async () => {
    expect((await appraise()).trustworthiness).toMatchObject({ hardware: 2, executables: 0 });
    const measured = await appraise({ policy: { pcrs: { sha256: { 4: [hex(pcrValue(4))] } } } });
    expect(measured.trustworthiness).toMatchObject({ executables: 2 });
    expect((await appraise({ quote: { nonce: Buffer.alloc(8, 1) } })).trustworthiness).toMatchObject({
      'instance-identity': 96,
      hardware: 2,
    });
  });
});

describe('refused machines', () => {
  const refused: readonly (readonly [string, string, Options])[] = [
    ['another nonce', 'TPM_NONCE', { quote: { nonce: Buffer.alloc(32, 1) } }],
    ['no nonce', 'TPM_NONCE_EMPTY', { quote: { nonce: Buffer.alloc(0) } }],
    [
      'no nonce, where none is known',
      'TPM_NONCE_EMPTY',
      { quote: { nonce: Buffer.alloc(0) }, isBound: false },
    ],
    [
      'fewer PCRs',
      'TPM_PCR_SELECTION',
      { quote: { selection: [{ bank: 'sha256', indexes: allPcrs.slice(0, 23) }] } },
    ],
    ['no PCRs', 'TPM_PCR_SELECTION', { quote: { selection: [] } }],
    ['more PCRs than asked for', 'TPM_PCR_SELECTION', { policy: { pcr_selection: { sha256: [0, 7] } } }],
    ['a short list of values', 'TPM_PCR_COUNT', { pcrs: allPcrs.slice(1).map((index) => pcrValue(index)) }],
    ['other values', 'TPM_PCR_DIGEST', { pcrs: allPcrs.toReversed().map((index) => pcrValue(index)) }],
    [
      'a value that is not allowed',
      'TPM_PCR_VALUE',
      { policy: { pcrs: { sha256: { 4: [hex(pcrValue(5))] } } } },
    ],
    ['a quote by another key', 'TPM_QUOTE_SIGNATURE', { quoteKey: rsaKey }],
    ['a quote that is signed with another hash', 'TPM_QUOTE_SIGNATURE', { hash: 'sha384' }],
    ['another structure', 'TPM_QUOTE_UNREADABLE', { quote: { type: 0x8017 } }],
    ['runtime data of another machine', 'AZ_RUNTIME_DATA', { reportData: Buffer.alloc(64, 1) }],
    [
      'runtime data of another TDX machine',
      'AZ_RUNTIME_DATA',
      { tee: 'tdx', reportData: Buffer.alloc(64, 1) },
    ],
    [
      'report data with something after the digest',
      'AZ_RUNTIME_DATA',
      {
        reportData: Buffer.concat([createHash('sha256').update(runtimeJson()).digest(), Buffer.alloc(32, 1)]),
      },
    ],
    [
      'no secure boot',
      'AZ_SECURE_BOOT',
      { runtime: { 'vm-configuration': {} }, policy: { require_secure_boot: true } },
    ],
    [
      'a console',
      'AZ_CONSOLE',
      { runtime: { 'vm-configuration': { 'console-enabled': true } }, policy: { console: false } },
    ],
    ['hardware that is not allowed', 'AZ_TEE_NOT_ALLOWED', { policy: { tees: ['tdx'] } }],
    ['a debuggable VM', 'SNP_DEBUG', { snp: { policy: 0xb001fn } }],
    ['VMPL 1', 'SNP_VMPL', { snp: { vmpl: 1 } }],
    ['an unknown measurement', 'SNP_MEASUREMENT_UNKNOWN', { policy: { snp: { measurements: [] } } }],
    ['a simulated root of another namespace', 'SNP_CHAIN_BROKEN', { simulatedNamespace: 'x-snp' }],
    ['an invalid time', 'TPM_CLOCK_INVALID', { at: new Date(Number.NaN) }],
    ['no key in the runtime data', 'AZ_HCL_REPORT', { runtime: { keys: [] } }],
    [
      'two keys of one name',
      'AZ_HCL_REPORT',
      { runtime: { keys: [attestationJwk(), attestationJwk(rsaKey)] } },
    ],
    [
      'a key of another kind',
      'AZ_HCL_REPORT',
      { runtime: { keys: [{ ...attestationJwk(ecKey), n: '', e: '' }] } },
    ],
    ['a cut HCL report', 'AZ_HCL_REPORT', { alterHcl: (report) => report.subarray(0, 1300) }],
    ['something after the runtime data', 'AZ_HCL_REPORT', { alterHcl: change(2599, 1) }],
    ['another signature of the header', 'AZ_HCL_REPORT', { alterHcl: change(0, 0x49) }],
    ['an unknown version of the header', 'AZ_HCL_REPORT', { alterHcl: change(4, 3) }],
    ['another size in the header', 'AZ_HCL_REPORT', { alterHcl: change(8, 0) }],
    ['another request', 'AZ_HCL_REPORT', { alterHcl: change(12, 1) }],
    ['a failed request', 'AZ_HCL_REPORT', { alterHcl: change(16, 1) }],
    ['a reserved byte', 'AZ_HCL_REPORT', { alterHcl: change(31, 1) }],
    ['another version of the runtime data', 'AZ_HCL_REPORT', { alterHcl: change(1220, 2) }],
    ['an unknown kind of hardware', 'AZ_HCL_REPORT', { alterHcl: change(1224, 3) }],
    ['another hash of the runtime data', 'AZ_HCL_REPORT', { alterHcl: change(1228, 2) }],
    ['a length beyond the end', 'AZ_HCL_REPORT', { alterHcl: change(1234, 1) }],
    ['an unknown field', 'AZ_EVIDENCE_UNREADABLE', { alter: (json) => void (json['more'] = 1) }],
    ['another version', 'AZ_EVIDENCE_UNREADABLE', { alter: (json) => void (json['version'] = 2) }],
    [
      'a VCEK that is no certificate',
      'SNP_CERTIFICATE_UNREADABLE',
      { alter: (json) => void (json['vcek'] = 'AAAA') },
    ],
  ];

  it.each(refused)('%s: %s', async (_, code, options) => {
    expect(verdict(await appraise(options))).toBe(`contraindicated ${code}`);
  });

  it('makes no claim where something is missing', async () => {
    const noQuote = await appraise({ tee: 'tdx', alter: (json) => Reflect.deleteProperty(json, 'td_quote') });
    expect(verdict(noQuote)).toBe('none AZ_TD_QUOTE_MISSING');
    expect(noQuote.trustworthiness).toEqual({});
    const noChip = await appraise({ alter: (json) => Reflect.deleteProperty(json, 'vcek') });
    expect(verdict(noChip)).toBe('none SNP_CHIP_CERTIFICATE_MISSING');
  });

  it('collects every reason, those of the hardware first', async () => {
    const appraisal = await appraise({
      snp: { vmpl: 1 },
      quote: { nonce: Buffer.alloc(8) },
      policy: { pcr_selection: { sha256: [0] }, tees: ['tdx'] },
    });
    expect(verdict(appraisal)).toBe(
      'contraindicated SNP_VMPL TPM_NONCE TPM_PCR_SELECTION AZ_TEE_NOT_ALLOWED',
    );
  });
});

it('asks for what the hardware needs', async () => {
  const { evidence, endorsements } = azureMachine({ quote: { nonce } });
  const nothing = { certificates: [], crls: [] };
  const wanted = await azureCvmVerifier.endorsementQueries({ namespace: 'x-az-cvm', evidence }, nothing);
  expect(wanted.map(({ path }) => path)).toEqual(['vcek/v1/Milan/crl']);
  expect(
    await azureCvmVerifier.endorsementQueries({ namespace: 'x-az-cvm', evidence }, endorsements),
  ).toEqual([]);
  const garbage = { namespace: 'x-az-cvm', evidence: new Uint8Array(3) };
  expect(await azureCvmVerifier.endorsementQueries(garbage, nothing)).toEqual([]);
});

it('an HCL report is read back as it was written, and any header byte that is changed is noticed', () => {
  const report = hclReport('snp', new Uint8Array(1184).fill(7), runtimeJson());
  const parsed = parseHclReport(report);
  expect(parsed).toMatchObject({ tee: 'snp', hardwareReport: new Uint8Array(1184).fill(7) });
  expect(parsed?.attestationKey.equals(vtpmKey.publicKey)).toBe(true);
  const offsets = fc.oneof(fc.integer({ min: 0, max: 31 }), fc.integer({ min: 1216, max: 1235 }));
  fc.assert(
    fc.property(offsets, fc.integer({ min: 1, max: 255 }), (offset, difference) => {
      const changed = Buffer.from(report);
      changed.writeUInt8((changed[offset] ?? 0) ^ difference, offset);
      const found = parseHclReport(changed);
      return found === undefined || found.tee !== 'snp' || (offset === 4 && changed[4] === 1);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 1300 }), (bytes) => parseHclReport(bytes) === undefined));
});

/** Sets one byte. */
function change(offset: number, value: number): (report: Buffer) => Buffer {
  return (report) => {
    report.writeUInt8(value, offset);
    return report;
  };
}

it('whatever comes as evidence is answered, never thrown at, and never affirmed', async () => {
  const machine = azureMachine({ quote: { nonce } });
  const whole = JSON.parse(Buffer.from(machine.evidence).toString()) as Record<string, unknown>;
  const replaced = fc
    .tuple(fc.constantFrom('version', 'hcl_report', 'tpm_quote', 'td_quote'), fc.jsonValue())
    .map(([part, value]) => JSON.stringify({ ...whole, [part]: value }));
  const texts = fc.oneof(fc.string(), fc.json(), replaced).filter((text) => text !== JSON.stringify(whole));
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      const { status } = await azureCvmVerifier.appraise({
        evidence: { namespace: 'x-az-cvm', evidence: new TextEncoder().encode(text) },
        endorsements: machine.endorsements,
        policy: azureCvmVerifier.policySchema.parse({}),
        at,
        simulatedRoots: [],
      });
      return status === 'contraindicated';
    }),
    { numRuns: 200 },
  );
});
