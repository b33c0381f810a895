import { reason, type Reason } from '../../reasons.js';

/** Length of the SPDM 1.1 GET_MEASUREMENTS request that a report begins with, bytes (DSP0274, table 48). */
const requestLength = 37;
/** Length of an ECDSA P-384 signature, r then s, bytes. */
const signatureLength = 96;
const nonceLength = 32;

const spdmVersion = 0x11;
const getMeasurements = 0xe0;
const measurements = 0x60;
/** The bit of the request's attributes that asks for a signature. */
const signatureRequested = 0x01;
/** MeasurementSpecification: DMTF. */
const dmtf = 1;

/** A signed SPDM transcript: the verifier's request and the device's response. Well-formed, not yet verified. */
export interface SpdmReport {
  /** The nonce of the request, 32 bytes: the verifier's. */
  readonly nonce: Uint8Array;
  /** Measurement values by block index, from 1. */
  readonly blocks: ReadonlyMap<number, Uint8Array>;
  /** The vendor's own fields by type. */
  readonly opaque: ReadonlyMap<number, Uint8Array>;
  /** What the signature covers: everything before it. */
  readonly signedData: Uint8Array;
  readonly signature: Uint8Array;
}

/** Thrown inside the reader, and turned into a reason at its border. */
class Malformed extends Error {}

/**
 * Reads a request and its response strictly: every length is met exactly, nothing follows, and neither a block nor an
 * opaque field is there twice. Returns NV_REPORT_MALFORMED, NV_REPORT_VERSION or NV_REPORT_REQUEST where it is refused.
 */
export function parseReport(bytes: Uint8Array): SpdmReport | Reason {
  try {
    return read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return reason('NV_REPORT_MALFORMED', { message: `The report is malformed: ${error.message}.` });
  }
}

function read(bytes: Buffer): SpdmReport | Reason {
  const request = new Reader(bytes.subarray(0, requestLength), 'the request');
  const [version, code, attributes] = [request.u8(), request.u8(), request.u8()];
  request.u8(); // which measurements: those that are missing are missed when they are compared
  if (version !== spdmVersion) return versionReason(version);
  if (code !== getMeasurements || (attributes & signatureRequested) === 0) return reason('NV_REPORT_REQUEST');
  const nonce = request.take(nonceLength);
  request.u8(); // the slot of the certificate chain
  request.end();

  const response = new Reader(bytes.subarray(requestLength), 'the response');
  const [responseVersion, responseCode] = [response.u8(), response.u8()];
  if (responseVersion !== spdmVersion) return versionReason(responseVersion);
  if (responseCode !== measurements) return reason('NV_REPORT_REQUEST');
  response.take(2); // parameters of no meaning for a signed response
  const count = response.u8();
  const blocks = readBlocks(new Reader(response.take(response.u24()), 'the measurement record'), count);
  response.take(nonceLength); // the device's own
  const opaque = readOpaque(new Reader(response.take(response.u16()), 'the opaque data'));
  const signature = response.take(signatureLength);
  response.end();
  return {
    nonce: Uint8Array.from(nonce),
    blocks,
    opaque,
    signedData: bytes.subarray(0, bytes.length - signatureLength),
    signature: Uint8Array.from(signature),
  };
}

/** Blocks of {index, specification, u16 size, {type, u16 size, value}} (DSP0274, section "Measurement block"). */
function readBlocks(record: Reader, count: number): ReadonlyMap<number, Uint8Array> {
  const blocks = new Map<number, Uint8Array>();
  for (let read = 0; read < count; read += 1) {
    const index = record.u8();
    if (index === 0) throw new Malformed('a measurement has index 0');
    if (blocks.has(index)) throw new Malformed(`measurement ${index} is there twice`);
    if (record.u8() !== dmtf) throw new Malformed(`measurement ${index} is of an unknown specification`);
    const block = new Reader(record.take(record.u16()), `measurement ${index}`);
    block.u8(); // the kind of measured part
    blocks.set(index, new Uint8Array(block.take(block.u16())));
    block.end();
  }
  record.end();
  if (blocks.size === 0) throw new Malformed('it has no measurements');
  return blocks;
}

/** Fields of {u16 type, u16 length, value}. */
function readOpaque(data: Reader): ReadonlyMap<number, Uint8Array> {
  const fields = new Map<number, Uint8Array>();
  while (!data.isAtEnd) {
    const type = data.u16();
    if (fields.has(type)) throw new Malformed(`opaque field ${type} is there twice`);
    fields.set(type, new Uint8Array(data.take(data.u16())));
  }
  return fields;
}

function versionReason(version: number): Reason {
  return reason('NV_REPORT_VERSION', {
    message: `The report is of SPDM version ${version >> 4}.${version & 15}; 1.1 is known.`,
  });
}

/** Reads little-endian numbers and byte strings, and never beyond the end. */
class Reader {
  readonly #bytes: Buffer;
  readonly #name: string;
  #at = 0;

  constructor(bytes: Buffer, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new Malformed(`${this.#name} is cut short`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  u16(): number {
    return this.take(2).readUInt16LE();
  }

  u24(): number {
    return this.take(3).readUIntLE(0, 3);
  }

  end(): void {
    if (!this.isAtEnd) throw new Malformed(`bytes follow ${this.#name}`);
  }
}
