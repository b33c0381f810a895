import type { Random } from '../random.js';
import type { Input, Part } from '../target.js';
import { mutateBytes } from './bytes.js';
import { mutateDer } from './der.js';
import { wrappingsIn } from './encodings.js';
import { mutateJson } from './json.js';
import { mutateText } from './text.js';

/** The longest part that is made, bytes. */
const maxBytes = 512 * 1024;
const maxNesting = 3;

/** Makes another input: up to four changes to an input, with material of other inputs. */
export function mutate(
  input: Input,
  random: Random,
  others: readonly Input[],
  words: readonly string[],
): Input {
  const parts = [...input];
  for (let changes = random.pick([1, 1, 1, 2, 2, 4]); changes > 0; changes -= 1) {
    const at = random.below(parts.length);
    const donor = donorFor(parts[at], random, others);
    if (parts.length > 1 && random.chance(0.1)) rearrange(parts, at, donor, random);
    else parts[at] = changed(parts[at] ?? donor, donor, random, words);
  }
  return parts;
}

/** A part of the same kind from another input. */
function donorFor(part: Part | undefined, random: Random, others: readonly Input[]): Part {
  const other = random.pick(others);
  const same = other.filter(({ kind }) => kind === part?.kind);
  return random.pick(same.length > 0 ? same : other);
}

function rearrange(parts: Part[], at: number, donor: Part, random: Random): void {
  const part = parts[at] ?? donor;
  const choice = random.below(4);
  if (choice === 0) parts.splice(at, 1);
  else if (choice === 1) parts.splice(at, 1, donor);
  else if (choice === 2) parts.splice(at, 0, donor);
  else parts.splice(at, 0, ...Array<Part>(random.size(80)).fill(part));
}

function changed({ kind, bytes }: Part, donor: Part, random: Random, words: readonly string[]): Part {
  const result = mutateContent(Buffer.from(bytes), random, Buffer.from(donor.bytes), words, 0);
  return { kind, bytes: Buffer.from(result.subarray(0, maxBytes)) };
}

/** Changes content as what it looks like: JSON, DER, text with something encoded in it, or just bytes. */
function mutateContent(
  bytes: Buffer,
  random: Random,
  donor: Buffer,
  words: readonly string[],
  nesting: number,
): Uint8Array {
  const isText = bytes.length > 0 && bytes.subarray(0, 256).every(isPrintable);
  if (!isText) {
    const der = bytes[0] === 0x30 && random.chance(0.6) ? mutateDer(bytes, random, donor) : undefined;
    return der ?? mutateBytes(bytes, random, donor);
  }
  const text = bytes.toString('utf8');
  const inside = (outer: string): string | undefined => {
    const wrappings = nesting < maxNesting ? wrappingsIn(outer) : [];
    if (wrappings.length === 0) return undefined;
    const wrapping = random.pick(wrappings);
    return wrapping.wrap(mutateContent(wrapping.content, random, donor, words, nesting + 1));
  };
  const donorText = donor.toString('utf8');
  const string = (value: string): string =>
    (random.chance(0.7) ? inside(value) : undefined) ?? mutateText(value, random, donorText, words);
  const choice = random.below(10);
  if (choice === 0) return mutateBytes(bytes, random, donor);
  const written =
    choice < 6 && /^\s*[[{]/.test(text)
      ? mutateJson(text, random, donorText, string)
      : choice < 8
        ? inside(text)
        : undefined;
  return Buffer.from(written ?? mutateText(text, random, donorText, words));
}

function isPrintable(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
