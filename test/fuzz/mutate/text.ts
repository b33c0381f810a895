import type { Random } from '../random.js';

/** What trips readers of text, whatever its format. */
// prettier-ignore
const commonWords = [
  '', '0', '-1', '1e400', '-0', '0x10', '9007199254740993', '99999999999999999999', 'NaN', 'null', 'true',
  '__proto__', 'constructor', 'toString', 'length', '\0', '\ud800', '\u202e', '\u{1f512}', '\r\n', '\t',
  '{', '}', '[', ']', '"', "'", '<', '>', '&', ';', ':', ',', '.', '*', '%00', '../', '//', '=', '!', '|',
  'A'.repeat(5_000),
];

const token = /[A-Za-z0-9_]+|\s+|[^A-Za-z0-9_\s]/gu;

function tokens(text: string): string[] {
  return text.match(token) ?? [];
}

function repeated(part: string, times: number): string {
  return part.repeat(Math.min(times, Math.ceil(65_536 / Math.max(1, part.length))));
}

/** Changes text token by token; words are those of its format. */
export function mutateText(text: string, random: Random, donor: string, words: readonly string[]): string {
  const parts = tokens(text);
  const at = random.below(parts.length);
  const word = (): string => {
    const source = random.below(3);
    if (source === 0) return random.pick(commonWords);
    const known = source === 1 ? words : tokens(donor.slice(0, 65_536));
    return known.length === 0 ? '' : random.pick(known);
  };
  switch (random.below(6)) {
    case 0:
      parts.splice(at, 1 + random.size(8));
      break;
    case 1:
      parts.splice(at, 0, word());
      break;
    case 2:
      parts.splice(at, 1, word());
      break;
    case 3:
      parts.splice(at, 0, ...parts.slice(at, at + random.size(32)));
      break;
    case 4:
      parts.splice(at, 0, repeated(parts[at] ?? word(), random.size(2_000)));
      break;
    default: {
      const other = random.below(parts.length);
      [parts[at], parts[other]] = [parts[other] ?? '', parts[at] ?? ''];
    }
  }
  return parts.join('');
}
