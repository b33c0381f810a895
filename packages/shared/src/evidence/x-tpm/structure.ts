/** Hash algorithms by their TPM identifiers (TCG Algorithm Registry, table 3). */
export const hashNames = { 0x0004: 'sha1', 0x000b: 'sha256', 0x000c: 'sha384', 0x000d: 'sha512' } as const;
/** A hash algorithm whose name is known here. */
export type HashName = (typeof hashNames)[keyof typeof hashNames];

/** Reads the TPM's big-endian structures (TPM 2.0 Library, part 2); throws a RangeError past their end. */
export class StructureReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }

  u8(): number {
    return this.#take(1).readUInt8();
  }

  u16(): number {
    return this.#take(2).readUInt16BE();
  }

  u32(): number {
    return this.#take(4).readUInt32BE();
  }

  u64(): bigint {
    return this.#take(8).readBigUInt64BE();
  }

  bytes(length: number): Uint8Array {
    return new Uint8Array(this.#take(length));
  }

  /** A sized buffer (TPM2B). */
  sized(): Uint8Array {
    return this.bytes(this.u16());
  }

  hash(): HashName {
    const name = (hashNames as Readonly<Record<number, HashName>>)[this.u16()];
    if (name === undefined) throw new RangeError('the hash algorithm is not known');
    return name;
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError('the structure ends early');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  /** Throws unless everything was read. */
  end(): void {
    if (this.#at !== this.#bytes.length) throw new RangeError('something follows the structure');
  }
}

/** Reads one structure that fills its bytes; undefined when it is anything else. */
export function readStructure<T>(bytes: Uint8Array, read: (reader: StructureReader) => T): T | undefined {
  try {
    const reader = new StructureReader(bytes);
    const value = read(reader);
    reader.end();
    return value;
  } catch {
    return undefined;
  }
}
