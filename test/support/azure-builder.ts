import { createHash, constants, generateKeyPairSync, sign } from 'node:crypto';
import type { Endorsements, SimulatedRoot } from '@muster/shared/evidence/appraisal.js';
import { chipCertificate, revocationList, snpHierarchy } from './snp-builder.js';
import { signSnpReport, snpReport, type SnpReportFields } from './snp-report.js';
import { tdxCase } from './tdx-case.js';
import { pcrValues, tpmQuote, type TpmKey, type TpmQuoteFields } from './tpm-builder.js';

/** The attestation key of a simulated vTPM. */
export const vtpmKey: TpmKey = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** What differs from the runtime data of a machine that is affirmed. */
export interface RuntimeData {
  readonly keys?: readonly { readonly [key: string]: unknown }[];
  readonly 'vm-configuration'?: { readonly [key: string]: unknown };
  readonly 'user-data'?: string;
}

/** What differs from evidence that is affirmed. */
export interface AzureMachine {
  readonly tee?: 'snp' | 'tdx';
  readonly runtime?: RuntimeData;
  readonly snp?: SnpReportFields;
  readonly quote?: TpmQuoteFields;
  /** Signs the quote instead of the key in the runtime data. */
  readonly quoteKey?: TpmKey;
  readonly hash?: 'sha256' | 'sha384';
  readonly alterQuote?: (quote: Buffer) => Uint8Array;
  /** Replaces the digest of the runtime data in the hardware's report. */
  readonly reportData?: Uint8Array;
  /** Changes the HCL report after everything was made. */
  readonly alterHcl?: (report: Buffer) => Uint8Array;
  readonly pcrs?: readonly Uint8Array[];
  /** Changes the evidence, before it is written as JSON. */
  readonly alter?: (json: Record<string, unknown>) => void;
}

/** Evidence, and what is at hand to verify it with. */
export interface AzureSubject {
  readonly evidence: Uint8Array;
  readonly endorsements: Endorsements;
  readonly simulatedRoots: readonly SimulatedRoot[];
}

/** The key of the runtime data, as the paravisor writes it. */
export function attestationJwk({ publicKey }: TpmKey = vtpmKey): { readonly [key: string]: unknown } {
  return { kid: 'HCLAkPub', key_ops: ['sign'], ...publicKey.export({ format: 'jwk' }) };
}

/** Runtime data as JSON. */
export function runtimeJson(runtime: RuntimeData = {}): Buffer {
  return Buffer.from(
    JSON.stringify({
      keys: [attestationJwk(), { ...attestationJwk(), kid: 'HCLEkPub', key_ops: ['encrypt'] }],
      'vm-configuration': { 'console-enabled': false, 'secure-boot': true, 'tpm-enabled': true },
      'user-data': '00'.repeat(64),
      ...runtime,
    }),
  );
}

/** Writes an HCL report around a hardware report. */
export function hclReport(tee: 'snp' | 'tdx', hardwareReport: Uint8Array, runtimeData: Uint8Array): Buffer {
  const report = Buffer.alloc(2600);
  const end = 1236 + runtimeData.length;
  const words = (at: number, ...values: readonly number[]): void =>
    values.forEach((value, index) => report.writeUInt32LE(value, at + 4 * index));
  report.write('HCLA', 0, 'latin1');
  words(4, 2, end, 2, 0);
  report.set(hardwareReport, 32);
  words(1216, 20 + runtimeData.length, 1, tee === 'snp' ? 2 : 4, 1, runtimeData.length);
  report.set(runtimeData, 1236);
  return report;
}

/** A simulated Azure confidential VM. */
export function azureMachine(machine: AzureMachine = {}): AzureSubject {
  const { tee = 'snp', quote: fields = {}, quoteKey = vtpmKey, hash = 'sha256' } = machine;
  const runtimeData = runtimeJson(machine.runtime);
  const digest = createHash('sha256').update(runtimeData).digest();
  const reportData = machine.reportData ?? Buffer.concat([digest, Buffer.alloc(32)]);
  const hardware = tee === 'snp' ? snpMachine(machine, reportData) : tdxMachine(reportData);
  const plain = hclReport(tee, hardware.report, runtimeData);
  const quote = tpmQuote(fields);
  const message = machine.alterQuote?.(quote) ?? quote;
  const json: Record<string, unknown> = {
    version: 1,
    hcl_report: Buffer.from(machine.alterHcl?.(plain) ?? plain).toString('base64url'),
    tpm_quote: {
      message: Buffer.from(message).toString('hex'),
      signature: sign(hash, message, {
        key: quoteKey.privateKey,
        padding: constants.RSA_PKCS1_PADDING,
      }).toString('hex'),
      pcrs: (machine.pcrs ?? pcrValues(fields)).map((value) => Buffer.from(value).toString('hex')),
    },
    ...hardware.parts,
  };
  machine.alter?.(json);
  return {
    evidence: Buffer.from(JSON.stringify(json)),
    endorsements: hardware.endorsements,
    simulatedRoots: [{ namespace: 'x-az-cvm', fingerprint: hardware.root }],
  };
}

interface Hardware {
  readonly report: Uint8Array;
  readonly parts: { readonly [part: string]: string };
  readonly endorsements: Endorsements;
  readonly root: string;
}

function snpMachine({ snp }: AzureMachine, reportData: Uint8Array): Hardware {
  const hierarchy = snpHierarchy();
  const chip = chipCertificate(hierarchy);
  return {
    report: signSnpReport(snpReport({ reportData, ...snp }), chip.privateKey),
    parts: { vcek: Buffer.from(chip.certificate).toString('base64') },
    endorsements: {
      certificates: [hierarchy.ask.certificate, hierarchy.ark.certificate],
      crls: [revocationList(hierarchy)],
    },
    root: hierarchy.rootFingerprint,
  };
}

function tdxMachine(reportData: Uint8Array): Hardware {
  const { evidence, endorsements, simulatedRoots } = tdxCase({ quote: { report: { reportData } } });
  return {
    report: new Uint8Array(1024),
    parts: { td_quote: Buffer.from(evidence.evidence).toString('base64url') },
    endorsements,
    root: simulatedRoots[0]?.fingerprint ?? '',
  };
}
