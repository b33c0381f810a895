import { Reader } from './reader.js';

/** Lengths of the report of a TD: of TDX 1.0, and of TDX 1.5 in quotes of version 5. */
export const tdReport10Length = 584;
export const tdReport15Length = 648;

/** What a quote says of a trust domain (TD_QUOTE_BODY of the Intel TDX DCAP Quoting Library API, appendix A.3.2). */
export interface TdReport {
  /** Security versions of the TDX module and what loads it: [0] the module's, [1] its major version. */
  readonly teeTcbSvn: Uint8Array;
  readonly mrSeam: Uint8Array;
  readonly mrSignerSeam: Uint8Array;
  readonly seamAttributes: Uint8Array;
  readonly tdAttributes: TdAttributes;
  readonly xfam: Uint8Array;
  readonly mrTd: Uint8Array;
  readonly mrConfigId: Uint8Array;
  readonly mrOwner: Uint8Array;
  readonly mrOwnerConfig: Uint8Array;
  readonly rtmrs: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  readonly reportData: Uint8Array;
  /** TDX 1.5: the versions that run now, where `teeTcbSvn` are those at the launch of the TD. */
  readonly teeTcbSvn2?: Uint8Array;
  /** TDX 1.5: the measurement of the service TD, all zero when there is none. */
  readonly mrServiceTd?: Uint8Array;
}

/** The attributes of a trust domain (Intel TDX Module ABI, ATTRIBUTES). */
export interface TdAttributes {
  readonly raw: Uint8Array;
  /** The host may debug the TD, or profile it: bits 0 to 7, under which a TD is not trusted. */
  readonly debug: boolean;
  /** A page that vanishes ends the TD, instead of raising an exception in it. */
  readonly septVeDisable: boolean;
  /** The TD may be migrated by a service TD. */
  readonly migratable: boolean;
  readonly pks: boolean;
  readonly keyLocker: boolean;
  readonly perfmon: boolean;
  /** A bit that this release of Muster does not know. */
  readonly unknown: boolean;
}

/** Bits 0-3 DEBUG and profiling, 16 ICSSD, 27 LASS, 28 SEPT_VE_DISABLE, 29 MIGRATABLE, 30 PKS, 31 KL, 62 TPA, 63 PERFMON. */
const knownAttributes = [0, 1, 2, 3, 16, 27, 28, 29, 30, 31, 62, 63].reduce(
  (mask, bit) => mask | (1n << BigInt(bit)),
  0n,
);

/** Reads a report of one of the two lengths. */
export function readTdReport(bytes: Uint8Array): TdReport {
  const reader = new Reader(bytes);
  const report = {
    teeTcbSvn: reader.take(16),
    mrSeam: reader.take(48),
    mrSignerSeam: reader.take(48),
    seamAttributes: reader.take(8),
    tdAttributes: decodeAttributes(reader.take(8)),
    xfam: reader.take(8),
    mrTd: reader.take(48),
    mrConfigId: reader.take(48),
    mrOwner: reader.take(48),
    mrOwnerConfig: reader.take(48),
    rtmrs: [reader.take(48), reader.take(48), reader.take(48), reader.take(48)] as const,
    reportData: reader.take(64),
  };
  if (bytes.length === tdReport10Length) return report;
  return { ...report, teeTcbSvn2: reader.take(16), mrServiceTd: reader.take(48) };
}

function decodeAttributes(raw: Uint8Array): TdAttributes {
  const bits = Buffer.from(raw).readBigUInt64LE();
  const has = (bit: bigint): boolean => ((bits >> bit) & 1n) === 1n;
  return {
    raw,
    debug: (bits & 0xffn) !== 0n,
    septVeDisable: has(28n),
    migratable: has(29n),
    pks: has(30n),
    keyLocker: has(31n),
    perfmon: has(63n),
    unknown: (bits & ~knownAttributes) !== 0n,
  };
}
