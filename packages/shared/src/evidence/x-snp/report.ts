import { reason, type Reason } from '../../reasons.js';
import type { Cpuid } from './product.js';

/** Length of an attestation report, bytes. */
export const reportLength = 1184;
/** The part that the signature covers: everything before this offset. */
const signedLength = 0x2a0;
const integerLength = 72;
const coordinateLength = 48;

/** The versions that are understood; another one may give fields another meaning. */
const versions = [2, 3, 5] as const;

/** The key that signed a report (bits 4:2 of the signer flags). */
export type SigningKey = 'VCEK' | 'VLEK';

/** A firmware version of the platform. */
export interface FirmwareVersion {
  readonly major: number;
  readonly minor: number;
  readonly build: number;
}

/** What the guest's owner demanded at launch (SEV-SNP ABI, table "Guest Policy"). */
export interface GuestPolicy {
  readonly abiMinor: number;
  readonly abiMajor: number;
  readonly smtAllowed: boolean;
  readonly migrationAgentAllowed: boolean;
  readonly debugAllowed: boolean;
  readonly singleSocketRequired: boolean;
  readonly cxlAllowed: boolean;
  readonly xtsRequired: boolean;
  readonly raplDisabledRequired: boolean;
  readonly ciphertextHidingRequired: boolean;
  readonly pageSwapDisabled: boolean;
}

/** How the host is configured (SEV-SNP ABI, table "PLATFORM_INFO"). */
export interface PlatformInfo {
  readonly smtEnabled: boolean;
  readonly tsmeEnabled: boolean;
  readonly eccEnabled: boolean;
  readonly raplDisabled: boolean;
  readonly ciphertextHidingEnabled: boolean;
  /** Memory was checked for aliased addresses at boot, the answer to BadRAM. */
  readonly aliasCheckComplete: boolean;
  readonly tioEnabled: boolean;
}

/** An attestation report (SEV-SNP ABI, table "ATTESTATION_REPORT"), well-formed but not yet verified. */
export interface SnpReport {
  readonly version: (typeof versions)[number];
  readonly guestSvn: number;
  readonly policy: GuestPolicy;
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  readonly vmpl: number;
  readonly platform: PlatformInfo;
  readonly authorKeyEnabled: boolean;
  readonly signingKey: SigningKey;
  readonly reportData: Uint8Array;
  readonly measurement: Uint8Array;
  readonly hostData: Uint8Array;
  readonly idKeyDigest: Uint8Array;
  readonly authorKeyDigest: Uint8Array;
  readonly reportId: Uint8Array;
  readonly reportIdMa: Uint8Array;
  /** From version 3 on; in version 2 the chip certificate names the product. */
  readonly cpuid?: Cpuid;
  readonly chipId: Uint8Array;
  /** TCB versions, 8 bytes each; their layout depends on the product. */
  readonly currentTcb: Uint8Array;
  readonly reportedTcb: Uint8Array;
  readonly committedTcb: Uint8Array;
  readonly launchTcb: Uint8Array;
  readonly currentVersion: FirmwareVersion;
  readonly committedVersion: FirmwareVersion;
  /** Mitigation vectors, in version 5. */
  readonly mitigations?: { readonly launch: bigint; readonly current: bigint };
  /** What the signature covers. */
  readonly signedData: Uint8Array;
  /** The ECDSA signature, r then s, 48 bytes big-endian each. */
  readonly signature: Uint8Array;
}

/**
 * Reads a report strictly: fixed length, a known version, every reserved field zero, no unknown bit.
 * Returns the reason where it is refused: SNP_REPORT_LENGTH, SNP_REPORT_VERSION, SNP_SIGNATURE_ALGORITHM,
 * SNP_SIGNING_KEY, SNP_GUEST_POLICY, SNP_PLATFORM_INFO, SNP_RESERVED_NOT_ZERO.
 */
export function parseReport(bytes: Uint8Array): SnpReport | Reason {
  if (bytes.length !== reportLength) {
    return reason('SNP_REPORT_LENGTH', {
      message: `The evidence has ${bytes.length} bytes; an SEV-SNP attestation report has ${reportLength}.`,
    });
  }
  const view = Buffer.from(bytes);
  const number = view.readUInt32LE(0);
  const version = versions.find((known) => known === number);
  if (version === undefined) {
    return reason('SNP_REPORT_VERSION', {
      message: `The report has version ${number}; 2, 3 and 5 are known.`,
    });
  }
  const algorithm = view.readUInt32LE(0x34);
  if (algorithm !== 1) {
    return reason('SNP_SIGNATURE_ALGORITHM', {
      message: `The report names signature algorithm ${algorithm}; only 1, ECDSA P-384 with SHA-384, is known.`,
    });
  }
  const flags = view.readUInt32LE(0x48);
  const signingKey = ([0, 1].includes((flags >> 2) & 7) ? (['VCEK', 'VLEK'] as const) : [])[(flags >> 2) & 7];
  if (signingKey === undefined) {
    return reason('SNP_SIGNING_KEY', {
      message: `The report's signing key is ${(flags >> 2) & 7}; 0 is a VCEK and 1 a VLEK.`,
    });
  }
  const policy = decodeGuestPolicy(view.readBigUInt64LE(0x08));
  if (policy === undefined) return reason('SNP_GUEST_POLICY');
  const platform = decodePlatformInfo(view.readBigUInt64LE(0x40));
  if (platform === undefined) return reason('SNP_PLATFORM_INFO');
  const dirty = firstNonZero(view, reservedRanges(version)) ?? (flags >>> 5 === 0 ? undefined : 0x48);
  if (dirty !== undefined) {
    return reason('SNP_RESERVED_NOT_ZERO', {
      message: `The report's reserved field at 0x${dirty.toString(16)} is not zero.`,
    });
  }
  const field = (offset: number, length: number): Uint8Array =>
    Uint8Array.from(view.subarray(offset, offset + length));
  return {
    version,
    guestSvn: view.readUInt32LE(0x04),
    policy,
    familyId: field(0x10, 16),
    imageId: field(0x20, 16),
    vmpl: view.readUInt32LE(0x30),
    platform,
    authorKeyEnabled: (flags & 1) !== 0,
    signingKey,
    reportData: field(0x50, 64),
    measurement: field(0x90, 48),
    hostData: field(0xc0, 32),
    idKeyDigest: field(0xe0, 48),
    authorKeyDigest: field(0x110, 48),
    reportId: field(0x140, 32),
    reportIdMa: field(0x160, 32),
    ...(version >= 3
      ? {
          cpuid: {
            family: view.readUInt8(0x188),
            model: view.readUInt8(0x189),
            stepping: view.readUInt8(0x18a),
          },
        }
      : {}),
    chipId: field(0x1a0, 64),
    currentTcb: field(0x38, 8),
    reportedTcb: field(0x180, 8),
    committedTcb: field(0x1e0, 8),
    launchTcb: field(0x1f0, 8),
    currentVersion: firmwareVersion(view, 0x1e8),
    committedVersion: firmwareVersion(view, 0x1ec),
    ...(version >= 5
      ? { mitigations: { launch: view.readBigUInt64LE(0x1f8), current: view.readBigUInt64LE(0x200) } }
      : {}),
    signedData: field(0, signedLength),
    signature: Uint8Array.from([
      ...field(signedLength, coordinateLength).toReversed(),
      ...field(signedLength + integerLength, coordinateLength).toReversed(),
    ]),
  };
}

/** Pairs of offsets between which every byte of a report is zero. R and S are 72 bytes wide, of which 48 are used. */
function reservedRanges(version: number): readonly (readonly [number, number])[] {
  return [
    [0x4c, 0x50],
    [version >= 3 ? 0x18b : 0x188, 0x1a0],
    [0x1eb, 0x1ec],
    [0x1ef, 0x1f0],
    [version >= 5 ? 0x208 : 0x1f8, signedLength],
    [signedLength + coordinateLength, signedLength + integerLength],
    [signedLength + integerLength + coordinateLength, signedLength + 2 * integerLength],
    [signedLength + 2 * integerLength, reportLength],
  ];
}

function firstNonZero(bytes: Uint8Array, ranges: readonly (readonly [number, number])[]): number | undefined {
  for (const [from, until] of ranges) {
    const index = bytes.subarray(from, until).findIndex((byte) => byte !== 0);
    if (index !== -1) return from + index;
  }
  return undefined;
}

function decodeGuestPolicy(bits: bigint): GuestPolicy | undefined {
  const has = (bit: bigint): boolean => ((bits >> bit) & 1n) === 1n;
  const unknownBits = bits >> 26n;
  if (unknownBits !== 0n || !has(17n)) return undefined;
  return {
    abiMinor: Number(bits & 0xffn),
    abiMajor: Number((bits >> 8n) & 0xffn),
    smtAllowed: has(16n),
    migrationAgentAllowed: has(18n),
    debugAllowed: has(19n),
    singleSocketRequired: has(20n),
    cxlAllowed: has(21n),
    xtsRequired: has(22n),
    raplDisabledRequired: has(23n),
    ciphertextHidingRequired: has(24n),
    pageSwapDisabled: has(25n),
  };
}

function decodePlatformInfo(bits: bigint): PlatformInfo | undefined {
  const has = (bit: bigint): boolean => ((bits >> bit) & 1n) === 1n;
  const knownBits = 0b1011_1111n;
  if ((bits & ~knownBits) !== 0n) return undefined;
  return {
    smtEnabled: has(0n),
    tsmeEnabled: has(1n),
    eccEnabled: has(2n),
    raplDisabled: has(3n),
    ciphertextHidingEnabled: has(4n),
    aliasCheckComplete: has(5n),
    tioEnabled: has(7n),
  };
}

function firmwareVersion(view: Buffer, offset: number): FirmwareVersion {
  return {
    build: view.readUInt8(offset),
    minor: view.readUInt8(offset + 1),
    major: view.readUInt8(offset + 2),
  };
}
