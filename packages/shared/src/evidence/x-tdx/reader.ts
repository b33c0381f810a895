/** Ends the reading of bytes that are shorter than they say. */
export class Truncated extends Error {}

/** Reads little-endian fields one after the other. Every method throws {@link Truncated} at the end. */
export class Reader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** How many bytes were read. */
  get offset(): number {
    return this.#offset;
  }

  /** A copy of the next bytes. */
  take(length: number): Uint8Array {
    return new Uint8Array(this.#next(length));
  }

  uint16(): number {
    return this.#next(2).readUInt16LE();
  }

  uint32(): number {
    return this.#next(4).readUInt32LE();
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.take(this.#bytes.length - this.#offset);
  }

  #next(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#bytes.length) throw new Truncated();
    const next = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return next;
  }
}
