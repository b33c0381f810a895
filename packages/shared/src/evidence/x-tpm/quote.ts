import { readStructure, type HashName, type StructureReader } from './structure.js';

const generatedValue = 0xff54_4347;
const attestQuote = 0x8018;
/** A TPM has at most as many banks as hash algorithms; 24 PCRs fill 3 bytes, and one more is room for others. */
const maxBanks = 16;
const maxSelectBytes = 4;

/** The PCRs of one bank, in ascending order. */
export interface PcrBank {
  readonly bank: HashName;
  readonly indexes: readonly number[];
}

/** A TPM quote (TPM 2.0 Library, part 2, TPMS_ATTEST with TPMS_QUOTE_INFO). Nothing in it is trusted yet. */
export interface TpmQuote {
  /** The qualified name of the key that signed it. */
  readonly qualifiedSigner: Uint8Array;
  /** The nonce that the TPM was given. */
  readonly extraData: Uint8Array;
  /** Milliseconds that the TPM was powered, resets and restarts; `safe` when it never ran backwards. */
  readonly clock: {
    readonly clock: bigint;
    readonly resetCount: number;
    readonly restartCount: number;
    readonly safe: boolean;
  };
  /** In a format of the vendor's own. */
  readonly firmwareVersion: bigint;
  /** The PCRs that the digest covers, in its order. */
  readonly selection: readonly PcrBank[];
  /** Over the values of the selected PCRs, by the hash of the signature. */
  readonly pcrDigest: Uint8Array;
}

/** Reads a quote; undefined when it is any other structure, or not made by a TPM. */
export function parseQuote(bytes: Uint8Array): TpmQuote | undefined {
  return readStructure(bytes, (reader) => {
    if (reader.u32() !== generatedValue || reader.u16() !== attestQuote) throw new RangeError('no quote');
    return {
      qualifiedSigner: reader.sized(),
      extraData: reader.sized(),
      clock: {
        clock: reader.u64(),
        resetCount: reader.u32(),
        restartCount: reader.u32(),
        safe: readBoolean(reader),
      },
      firmwareVersion: reader.u64(),
      selection: readSelection(reader),
      pcrDigest: reader.sized(),
    };
  });
}

function readBoolean(reader: StructureReader): boolean {
  const value = reader.u8();
  if (value > 1) throw new RangeError('neither yes nor no');
  return value === 1;
}

/** A bank that is named twice would let one selection pass for another. */
function readSelection(reader: StructureReader): readonly PcrBank[] {
  const count = reader.u32();
  if (count > maxBanks) throw new RangeError('too many banks');
  const selection = Array.from({ length: count }, () => {
    const bank = reader.hash();
    const length = reader.u8();
    if (length > maxSelectBytes) throw new RangeError('too many registers');
    const bitmap = reader.bytes(length);
    const indexes = Array.from({ length: length * 8 }, (_, index) => index).filter(
      (index) => (((bitmap[index >> 3] ?? 0) >> (index & 7)) & 1) === 1,
    );
    return { bank, indexes };
  });
  if (new Set(selection.map(({ bank }) => bank)).size !== count) throw new RangeError('a bank is repeated');
  return selection;
}
