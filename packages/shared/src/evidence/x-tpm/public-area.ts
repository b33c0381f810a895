import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { hashNames, readStructure, type StructureReader } from './structure.js';

const typeRsa = 0x0001;
const typeEcc = 0x0023;
const algNull = 0x0010;
const algEcdaa = 0x001a;
const curveNames: Readonly<Record<number, string>> = { 0x0003: 'P-256', 0x0004: 'P-384' };
/** What a TPM writes for the usual exponent. */
const defaultExponent = 0x1_0001;

/** Bits of TPMA_OBJECT (TPM 2.0 Library, part 2, section 8.3). */
const attributeBits = {
  fixedTPM: 1,
  stClear: 2,
  fixedParent: 4,
  sensitiveDataOrigin: 5,
  userWithAuth: 6,
  adminWithPolicy: 7,
  noDA: 10,
  encryptedDuplication: 11,
  restricted: 16,
  decrypt: 17,
  sign: 18,
} as const;
/** An attribute of a TPM's object. */
export type TpmAttribute = keyof typeof attributeBits;

/** The public area of a TPM's signing key (TPM 2.0 Library, part 2, TPM2B_PUBLIC). */
export interface TpmPublic {
  readonly attributes: readonly TpmAttribute[];
  /** The hash algorithm's identifier and the digest of the public area: what credential activation proves. */
  readonly name: Uint8Array;
  readonly key: KeyObject;
}

/** Reads the public area of an RSA or ECC signing key; undefined when it is anything else. */
export function parsePublic(bytes: Uint8Array): TpmPublic | undefined {
  const area = readStructure(bytes, (reader) => reader.sized());
  if (area === undefined) return undefined;
  return readStructure(area, (reader) => {
    const type = reader.u16();
    const nameAlgorithm = reader.u16();
    const hash = (hashNames as Readonly<Record<number, string>>)[nameAlgorithm];
    if (hash === undefined || hash === 'sha1') throw new RangeError('the name has no usable hash');
    const attributes = readAttributes(reader);
    reader.sized(); // the authorization policy
    if (reader.u16() !== algNull) throw new RangeError('a signing key wraps no other');
    skipScheme(reader);
    const jwk = type === typeRsa ? readRsa(reader) : type === typeEcc ? readEcc(reader) : undefined;
    if (jwk === undefined) throw new RangeError('the type of key is not known');
    const digest = createHash(hash).update(area).digest();
    const name = Buffer.concat([Uint8Array.of(nameAlgorithm >> 8, nameAlgorithm & 0xff), digest]);
    return {
      attributes,
      name: Uint8Array.from(name),
      key: createPublicKey({ key: jwk, format: 'jwk' }),
    };
  });
}

function readAttributes(reader: StructureReader): readonly TpmAttribute[] {
  const bits = reader.u32();
  const entries = Object.entries(attributeBits) as [TpmAttribute, number][];
  const known = entries.reduce((mask, [, bit]) => mask | (1 << bit), 0);
  if ((bits & ~known) !== 0) throw new RangeError('an attribute is not known');
  return entries.filter(([, bit]) => ((bits >> bit) & 1) === 1).map(([name]) => name);
}

/** TPMT_RSA_SCHEME or TPMT_ECC_SCHEME: which scheme was used stands in the signature. */
function skipScheme(reader: StructureReader): void {
  const scheme = reader.u16();
  if (scheme !== algNull) reader.u16();
  if (scheme === algEcdaa) reader.u16();
}

function readRsa(reader: StructureReader): Record<string, string> {
  const bits = reader.u16();
  const exponent = reader.u32() || defaultExponent;
  const modulus = reader.sized();
  if (modulus.length * 8 !== bits) throw new RangeError('the modulus has another length');
  const e = Buffer.from(exponent.toString(16).padStart(8, '0'), 'hex');
  const firstByte = e.findIndex((byte) => byte !== 0);
  return { kty: 'RSA', n: base64url(modulus), e: base64url(e.subarray(firstByte)) };
}

function readEcc(reader: StructureReader): Record<string, string> {
  const crv = curveNames[reader.u16()];
  if (crv === undefined) throw new RangeError('the curve is not known');
  if (reader.u16() !== algNull) reader.u16(); // the key derivation scheme
  const length = crv === 'P-256' ? 32 : 48;
  const [x, y] = [reader.sized(), reader.sized()];
  if (x.length > length || y.length > length) throw new RangeError('a coordinate is too long');
  const coordinate = (bytes: Uint8Array): string =>
    base64url(Buffer.concat([Buffer.alloc(length - bytes.length), bytes]));
  return { kty: 'EC', crv, x: coordinate(x), y: coordinate(y) };
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
