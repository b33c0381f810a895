import type { Random } from '../random.js';

/** Changes bytes; the donor is other content of the same kind. */
export type Operator = (bytes: Buffer, random: Random, donor: Buffer) => Uint8Array;

/** Numbers at the edges of the formats' integers. */
const edges = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

function range(bytes: Buffer, random: Random): readonly [number, number] {
  const from = random.below(bytes.length + 1);
  return [from, Math.min(bytes.length, from + random.size(bytes.length - from))];
}

function replace(bytes: Buffer, from: number, to: number, middle: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, from), middle, bytes.subarray(to)]);
}

function flipBit(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.below(copy.length);
  copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
  return copy;
}

function setByte(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  copy[random.below(copy.length)] = random.below(256);
  return copy;
}

/** Writes a number of 1 to 4 bytes, in either order: an edge, or a little more or less than what is there. */
function setNumber(bytes: Buffer, random: Random): Buffer {
  const length = Math.min(random.pick([1, 2, 3, 4]), bytes.length);
  if (length === 0) return random.bytes(1);
  const copy = Buffer.from(bytes);
  const at = random.below(copy.length - length + 1);
  const isLittle = random.chance(0.5);
  const old = isLittle ? copy.readUIntLE(at, length) : copy.readUIntBE(at, length);
  const value = random.chance(0.5) ? random.pick(edges) : old + random.below(33) - 16;
  const wrapped = ((value % 2 ** (8 * length)) + 2 ** (8 * length)) % 2 ** (8 * length);
  if (isLittle) copy.writeUIntLE(wrapped, at, length);
  else copy.writeUIntBE(wrapped, at, length);
  return copy;
}

const remove: Operator = (bytes, random) => replace(bytes, ...range(bytes, random), Buffer.alloc(0));
const zero: Operator = (bytes, random) => {
  const [from, to] = range(bytes, random);
  return replace(bytes, from, to, Buffer.alloc(to - from));
};
const insert: Operator = (bytes, random) => {
  const [from] = range(bytes, random);
  return replace(bytes, from, from, random.bytes(random.size(64)));
};
const truncate: Operator = (bytes, random) => bytes.subarray(0, random.below(bytes.length));
const extend: Operator = (bytes, random) =>
  Buffer.concat([
    bytes,
    random.chance(0.5) ? Buffer.alloc(random.size(4096)) : random.bytes(random.size(64)),
  ]);
const repeat: Operator = (bytes, random) => {
  const [from, to] = range(bytes, random);
  const times = 1 + random.size(Math.min(4096, 262_144 / Math.max(1, to - from)));
  const middle = Buffer.concat(Array.from({ length: times }, () => bytes.subarray(from, to)));
  return replace(bytes, from, from, middle);
};
const take: Operator = (bytes, random, donor) => {
  const [from, to] = range(bytes, random);
  return replace(bytes, from, random.chance(0.5) ? to : from, donor.subarray(...range(donor, random)));
};
const splice: Operator = (bytes, random, donor) => {
  const at = random.below(Math.min(bytes.length, donor.length));
  return Buffer.concat([bytes.subarray(0, at), donor.subarray(at)]);
};

// prettier-ignore
const operators: readonly Operator[] = [
  flipBit, setByte, setNumber, setNumber, remove, zero, insert, truncate, extend, repeat, take, splice,
];

/** Changes bytes without regard to what they mean. */
export const mutateBytes: Operator = (bytes, random, donor) => random.pick(operators)(bytes, random, donor);
