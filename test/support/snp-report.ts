import { sign, type KeyObject } from 'node:crypto';
import { defaultHwid, defaultTcb, defaultTurinTcb, type SnpProduct, type SnpTcb } from './snp-builder.js';

/** Every field of a report; what is left out is what a healthy guest on the given product has. */
export interface SnpReportFields {
  readonly product?: SnpProduct;
  readonly version?: number;
  readonly guestSvn?: number;
  readonly policy?: bigint;
  readonly familyId?: Uint8Array;
  readonly imageId?: Uint8Array;
  readonly vmpl?: number;
  readonly signatureAlgorithm?: number;
  readonly currentTcb?: SnpTcb;
  readonly platformInfo?: bigint;
  /** Signer flags at 0x48: bit 0 author key, bit 1 masked chip key, bits 4:2 signing key (0 VCEK, 1 VLEK, 7 none). */
  readonly signerFlags?: number;
  readonly reportData?: Uint8Array;
  readonly measurement?: Uint8Array;
  readonly hostData?: Uint8Array;
  readonly idKeyDigest?: Uint8Array;
  readonly authorKeyDigest?: Uint8Array;
  readonly reportId?: Uint8Array;
  readonly reportIdMa?: Uint8Array;
  readonly reportedTcb?: SnpTcb;
  /** Family, model and stepping; written for version 3 and later. */
  readonly cpuid?: readonly [family: number, model: number, stepping: number];
  /** Written from its start; the rest of the 64 bytes stays zero. */
  readonly chipId?: Uint8Array;
  readonly committedTcb?: SnpTcb;
  /** Major, minor and build of the firmware. */
  readonly currentVersion?: readonly [major: number, minor: number, build: number];
  readonly committedVersion?: readonly [major: number, minor: number, build: number];
  readonly launchTcb?: SnpTcb;
  /** Written for version 5. */
  readonly launchMitigations?: bigint;
  readonly currentMitigations?: bigint;
}

/** Guest policy of a healthy guest: SMT allowed, the bit that must be one, ABI 0.31. */
export const defaultGuestPolicy = 0x3001fn;
/** Platform information of a healthy host: SMT, TSME, ECC and a completed alias check. */
export const defaultPlatformInfo = 0x27n;
/** The launch measurement of a report whose fields leave it out. */
export const defaultMeasurement = new Uint8Array(48).fill(0x5a);

const cpuids: Readonly<Record<SnpProduct, readonly [number, number, number]>> = {
  Milan: [0x19, 0x01, 0x01],
  Genoa: [0x19, 0x11, 0x01],
  Turin: [0x1a, 0x02, 0x01],
};

/** Writes an unsigned report of 1184 bytes (SEV-SNP ABI specification, table "ATTESTATION_REPORT"). */
export function snpReport(fields: SnpReportFields = {}): Uint8Array {
  const { product = 'Milan', version = 3 } = fields;
  const report = Buffer.alloc(1184);
  const tcb = product === 'Turin' ? defaultTurinTcb : defaultTcb;
  const bytes = (offset: number, value: Uint8Array | undefined): void => {
    if (value !== undefined) report.set(value, offset);
  };
  const firmware = (
    offset: number,
    [major, minor, build]: readonly [number, number, number] = [1, 55, 29],
  ): void => bytes(offset, Uint8Array.of(build, minor, major));
  report.writeUInt32LE(version, 0x000);
  report.writeUInt32LE(fields.guestSvn ?? 0, 0x004);
  report.writeBigUInt64LE(fields.policy ?? defaultGuestPolicy, 0x008);
  bytes(0x010, fields.familyId);
  bytes(0x020, fields.imageId);
  report.writeUInt32LE(fields.vmpl ?? 0, 0x030);
  report.writeUInt32LE(fields.signatureAlgorithm ?? 1, 0x034);
  bytes(0x038, encodeTcb(product, fields.currentTcb ?? tcb));
  report.writeBigUInt64LE(fields.platformInfo ?? defaultPlatformInfo, 0x040);
  report.writeUInt32LE(fields.signerFlags ?? 0, 0x048);
  bytes(0x050, fields.reportData);
  bytes(0x090, fields.measurement ?? defaultMeasurement);
  bytes(0x0c0, fields.hostData);
  bytes(0x0e0, fields.idKeyDigest);
  bytes(0x110, fields.authorKeyDigest);
  bytes(0x140, fields.reportId ?? new Uint8Array(32).fill(0x1d));
  bytes(0x160, fields.reportIdMa ?? new Uint8Array(32).fill(0xff));
  bytes(0x180, encodeTcb(product, fields.reportedTcb ?? tcb));
  if (version >= 3) bytes(0x188, Uint8Array.from(fields.cpuid ?? cpuids[product]));
  bytes(0x1a0, fields.chipId ?? defaultHwid(product));
  bytes(0x1e0, encodeTcb(product, fields.committedTcb ?? tcb));
  firmware(0x1e8, fields.currentVersion);
  firmware(0x1ec, fields.committedVersion);
  bytes(0x1f0, encodeTcb(product, fields.launchTcb ?? tcb));
  if (version >= 5) {
    report.writeBigUInt64LE(fields.launchMitigations ?? 0n, 0x1f8);
    report.writeBigUInt64LE(fields.currentMitigations ?? 0n, 0x200);
  }
  return new Uint8Array(report);
}

/** Writes a TCB version: Milan and Genoa have one layout, Turin another. */
export function encodeTcb(product: SnpProduct, tcb: SnpTcb): Uint8Array {
  return product === 'Turin'
    ? Uint8Array.of(tcb.fmc ?? 0, tcb.bootloader, tcb.tee, tcb.snp, 0, 0, 0, tcb.microcode)
    : Uint8Array.of(tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode);
}

/** Returns the report signed by a P-384 key: ECDSA with SHA-384 over its first 0x2A0 bytes, R and S little-endian. */
export function signSnpReport(report: Uint8Array, privateKey: KeyObject): Uint8Array {
  const signed = Uint8Array.from(report);
  const signature = sign('sha384', report.subarray(0, 0x2a0), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const half = signature.length / 2;
  signed.fill(0, 0x2a0);
  signed.set(Uint8Array.from(signature.subarray(0, half)).toReversed(), 0x2a0);
  signed.set(Uint8Array.from(signature.subarray(half)).toReversed(), 0x2e8);
  return signed;
}

/** The GUIDs of the GHCB specification's certificate table. */
export const certificateGuids = {
  VCEK: '63da758d-e664-4564-adc5-f4b93be8accd',
  VLEK: 'a8074bc2-a25a-483e-aae6-39c045a0b8a1',
  ASK: '4ab7b379-bbac-4fe4-a02f-05aef327c782',
  ARK: 'c0b406a4-a803-4952-9743-3fb6014cd0ae',
} as const;

/** Writes a certificate table as `auxblob` has it (GHCB specification, SNP Extended Guest Request). */
export function certificateTable(
  entries: readonly { readonly guid: string; readonly certificate: Uint8Array }[],
): Uint8Array {
  const headerLength = (entries.length + 1) * 24;
  const header = Buffer.alloc(headerLength);
  let offset = headerLength;
  for (const [index, { guid, certificate }] of entries.entries()) {
    header.set(encodeGuid(guid), index * 24);
    header.writeUInt32LE(offset, index * 24 + 16);
    header.writeUInt32LE(certificate.length, index * 24 + 20);
    offset += certificate.length;
  }
  return new Uint8Array(Buffer.concat([header, ...entries.map(({ certificate }) => certificate)]));
}

/** A GUID's bytes as they lie in memory: the first three groups are little-endian. */
function encodeGuid(guid: string): Uint8Array {
  const bytes = Buffer.from(guid.replaceAll('-', ''), 'hex');
  return Uint8Array.from([
    ...bytes.subarray(0, 4).toReversed(),
    ...bytes.subarray(4, 6).toReversed(),
    ...bytes.subarray(6, 8).toReversed(),
    ...bytes.subarray(8),
  ]);
}
