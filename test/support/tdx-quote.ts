import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

/** Fields of a trust domain's report, as the quote writes them; what is left out is zero. */
export interface TdReportFields {
  readonly teeTcbSvn?: readonly number[];
  readonly mrSeam?: Uint8Array;
  readonly mrSignerSeam?: Uint8Array;
  readonly seamAttributes?: bigint;
  readonly tdAttributes?: bigint;
  readonly xfam?: bigint;
  readonly mrTd?: Uint8Array;
  readonly mrConfigId?: Uint8Array;
  readonly mrOwner?: Uint8Array;
  readonly mrOwnerConfig?: Uint8Array;
  readonly rtmrs?: readonly Uint8Array[];
  readonly reportData?: Uint8Array;
  readonly teeTcbSvn2?: readonly number[];
  readonly mrServiceTd?: Uint8Array;
}

/** Fields of the quoting enclave's report. */
export interface QeReportFields {
  readonly miscselect?: number;
  readonly attributes?: Uint8Array;
  readonly mrsigner?: Uint8Array;
  readonly isvProdId?: number;
  readonly isvSvn?: number;
  /** Replaces the digest of the attestation key and the authentication data. */
  readonly reportData?: Uint8Array;
}

/** What a quote is made of, and what can be wrong with it. */
export interface TdxQuoteOptions {
  readonly version?: number;
  readonly keyType?: number;
  readonly teeType?: number;
  readonly qeVendor?: Uint8Array;
  /** Of version 5: 2 for TDX 1.0, 3 for TDX 1.5. */
  readonly bodyType?: number;
  readonly bodyLength?: number;
  readonly report?: TdReportFields;
  readonly qe?: QeReportFields;
  readonly authenticationData?: Uint8Array;
  /** Signs the report of the quoting enclave. */
  readonly pckKey: KeyObject;
  /** PEM. */
  readonly pckChain: string;
  readonly outerType?: number;
  readonly innerType?: number;
  /** Added to the two certification data, and counted in their lengths. */
  readonly afterChain?: Uint8Array;
  readonly afterCertification?: Uint8Array;
  /** Follows the quote. */
  readonly padding?: Uint8Array;
  /** Changes what the attestation key then signs. */
  readonly alter?: (signed: Uint8Array) => void;
  /** The point that the quote names, instead of that of the key which signs it. */
  readonly attestationKey?: Uint8Array;
}

/** The signer of Intel's quoting enclave in the simulated identity. */
export const qeMrsigner = new Uint8Array(32).fill(0xdc);
const intelQe = Buffer.from('939a7233f79c4ca9940a0db3957f0607', 'hex');

/** The report data of quotes unless told otherwise. */
export const defaultReportData = Uint8Array.from({ length: 64 }, (_, index) => 0x40 + index);

/** Makes a quote. */
export function tdxQuote(options: TdxQuoteOptions): Uint8Array {
  const { version = 4, bodyType = 2, authenticationData = new Uint8Array(32).fill(7) } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const body = tdReport(options.report ?? {}, version === 5 && bodyType === 3);
  const signed = Buffer.concat([
    u16(version),
    u16(options.keyType ?? 2),
    u32(options.teeType ?? 0x81),
    Buffer.alloc(4),
    options.qeVendor ?? intelQe,
    Buffer.alloc(20),
    ...(version === 5 ? [u16(bodyType), u32(options.bodyLength ?? body.length)] : []),
    body,
  ]);
  options.alter?.(signed);
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const ownKey = Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  const attestationKey = options.attestationKey ?? ownKey;
  const digest = createHash('sha256').update(attestationKey).update(authenticationData).digest();
  const qeReport = writeQeReport(options.qe ?? {}, digest);
  const certification = Buffer.concat([
    qeReport,
    signRaw(qeReport, options.pckKey),
    u16(authenticationData.length),
    authenticationData,
    ...certificationData(options.innerType ?? 5, Buffer.from(options.pckChain), options.afterChain),
  ]);
  const signatureData = Buffer.concat([
    signRaw(signed, privateKey),
    attestationKey,
    ...certificationData(options.outerType ?? 6, certification, options.afterCertification),
  ]);
  return Uint8Array.from(
    Buffer.concat([signed, u32(signatureData.length), signatureData, options.padding ?? Buffer.alloc(0)]),
  );
}

/** Writes the report of a trust domain, of TDX 1.0 or 1.5. */
function tdReport(fields: TdReportFields, is15: boolean): Buffer {
  const bytes = Buffer.alloc(is15 ? 648 : 584);
  const set = (offset: number, value: Uint8Array | undefined): void => bytes.set(value ?? [], offset);
  set(0, Uint8Array.from(fields.teeTcbSvn ?? [6, 1, 3]));
  set(16, fields.mrSeam ?? new Uint8Array(48).fill(0x5e));
  set(64, fields.mrSignerSeam);
  bytes.writeBigUInt64LE(fields.seamAttributes ?? 0n, 112);
  bytes.writeBigUInt64LE(fields.tdAttributes ?? 1n << 28n, 120);
  bytes.writeBigUInt64LE(fields.xfam ?? 0x602e7n, 128);
  set(136, fields.mrTd ?? new Uint8Array(48).fill(0x5a));
  set(184, fields.mrConfigId);
  set(232, fields.mrOwner);
  set(280, fields.mrOwnerConfig);
  for (const [index, rtmr] of (fields.rtmrs ?? []).entries()) set(328 + 48 * index, rtmr);
  set(520, fields.reportData ?? defaultReportData);
  if (is15) {
    set(584, Uint8Array.from(fields.teeTcbSvn2 ?? fields.teeTcbSvn ?? [6, 1, 3]));
    set(600, fields.mrServiceTd);
  }
  return bytes;
}

function writeQeReport(fields: QeReportFields, digest: Uint8Array): Buffer {
  const bytes = Buffer.alloc(384);
  bytes.writeUInt32LE(fields.miscselect ?? 0, 16);
  bytes.set(fields.attributes ?? Uint8Array.of(0x11, 0, 0, 0, 0, 0, 0, 0, 0xe7), 48);
  bytes.set(fields.mrsigner ?? qeMrsigner, 128);
  bytes.writeUInt16LE(fields.isvProdId ?? 2, 256);
  bytes.writeUInt16LE(fields.isvSvn ?? 6, 258);
  bytes.set(fields.reportData ?? digest, 320);
  return bytes;
}

function certificationData(
  type: number,
  data: Uint8Array,
  after: Uint8Array = new Uint8Array(),
): readonly Uint8Array[] {
  return [u16(type), u32(data.length), data, after];
}

function signRaw(data: Uint8Array, key: KeyObject): Buffer {
  return sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
