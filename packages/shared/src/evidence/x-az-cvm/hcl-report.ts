import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import * as z from 'zod';
import { readJson } from '../encoded.js';
import { remembered } from '../remember.js';

const signature = 0x414c_4348; // "HCLA"
const headerLength = 32;
const hardwareReportEnd = 1216;
const snpReportLength = 1184;
const runtimeDataOffset = 1236;
const runtimeHeaderLength = runtimeDataOffset - hardwareReportEnd;
const attestationRequest = 2;
const runtimeDataVersion = 1;
const sha256 = 1;
const tees: Readonly<Record<number, Tee>> = { 2: 'snp', 4: 'tdx' };

/** The hardware below an Azure confidential VM. */
export type Tee = 'snp' | 'tdx';

const runtimeSchema = z.looseObject({
  keys: z.array(z.looseObject({ kid: z.string(), kty: z.string(), n: z.string(), e: z.string() })).max(8),
  'vm-configuration': z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
  'user-data': z.string().max(256).default(''),
});

/** What the paravisor keeps in the NV index of the vTPM: the report of the hardware and what it is bound to. */
export interface HclReport {
  readonly tee: Tee;
  /** The SEV-SNP report; of a TDX machine a local report, which nothing outside it can verify. */
  readonly hardwareReport: Uint8Array;
  /** SHA-256 of the runtime data, padded with zeros: what the hardware's report data must be. */
  readonly reportData: Uint8Array;
  /** The attestation key of the vTPM. */
  readonly attestationKey: KeyObject;
  readonly vmConfiguration: { readonly [key: string]: string | number | boolean };
  readonly userData: string;
}

/** Reports that are kept as they were read: a machine has one for as long as it runs. */
const rememberedReports = 512;

/**
 * Reads an HCL report; undefined when a length, a reserved field or the runtime data is not as it must be. Nothing
 * of it is trusted before the hardware's report is verified and found to carry `reportData`.
 */
export const parseHclReport = remembered(readHclReport, rememberedReports);

function readHclReport(bytes: Uint8Array): HclReport | undefined {
  const view = Buffer.from(bytes);
  if (view.length < runtimeDataOffset || view.readUInt32LE(0) !== signature) return undefined;
  const [version, size, request, status] = [4, 8, 12, 16].map((at) => view.readUInt32LE(at));
  const [runtimeSize, runtimeVersion, kind = 0, hash, length = 0] = [0, 4, 8, 12, 16].map((at) =>
    view.readUInt32LE(hardwareReportEnd + at),
  );
  const end = runtimeDataOffset + length;
  const tee = tees[kind];
  const isWellFormed =
    (version === 1 || version === 2) &&
    size === end &&
    request === attestationRequest &&
    status === 0 &&
    isZero(view.subarray(20, headerLength)) &&
    runtimeSize === runtimeHeaderLength + length &&
    runtimeVersion === runtimeDataVersion &&
    hash === sha256 &&
    end <= view.length &&
    isZero(view.subarray(end));
  if (!isWellFormed || tee === undefined) return undefined;
  const runtimeData = view.subarray(runtimeDataOffset, end);
  const runtime = readJson(runtimeData, runtimeSchema, length);
  const attestationKey = runtime === undefined ? undefined : readAttestationKey(runtime.keys);
  if (runtime === undefined || attestationKey === undefined) return undefined;
  const reportData = new Uint8Array(64);
  reportData.set(createHash('sha256').update(runtimeData).digest());
  return {
    tee,
    hardwareReport: Uint8Array.from(view.subarray(headerLength, headerLength + snpReportLength)),
    reportData,
    attestationKey,
    vmConfiguration: runtime['vm-configuration'],
    userData: runtime['user-data'],
  };
}

/** The one key that is named as the vTPM's attestation key. */
function readAttestationKey(keys: z.output<typeof runtimeSchema>['keys']): KeyObject | undefined {
  const [found, second] = keys.filter(({ kid }) => kid === 'HCLAkPub');
  if (found === undefined || second !== undefined || found.kty !== 'RSA') return undefined;
  try {
    return createPublicKey({ key: { kty: 'RSA', n: found.n, e: found.e }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
