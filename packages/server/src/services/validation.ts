import { refusal, type MusterError } from '@muster/shared/errors.js';
import { fromDuration } from '@muster/shared/grpc/duration.js';
import type { Duration } from '@muster/shared/gen/google/protobuf/duration.js';
import { requireName } from '@muster/shared/spiffe.js';

/** The longest comment or detail, characters. */
const maxTextLength = 1_024;
/** The largest number of participants that a request may name. */
const maxParticipants = 1_000;
const maxPageSize = 1_000;
const defaultPageSize = 100;

/** A refusal of a value in a request. */
export function invalid(path: string, message: string): MusterError {
  return refusal('ARGUMENT_INVALID', { message: `${path}: ${message}`, path });
}

/** Accepts a sentence for people. Errors: ARGUMENT_INVALID. */
export function requireText(text: string, path: string, maxLength = maxTextLength): string {
  if (text.length <= maxLength) return text;
  throw invalid(path, `at most ${maxLength} characters are allowed`);
}

/** Accepts participant names, each once. Errors: ARGUMENT_INVALID, PARTICIPANT_NAME_INVALID. */
export function requireNames(names: readonly string[], path: string): readonly string[] {
  if (names.length > maxParticipants) {
    throw invalid(path, `at most ${maxParticipants} participants are allowed`);
  }
  names.forEach((name, index) => {
    requireName(name, `${path}[${index}]`);
    if (names.indexOf(name) < index) throw invalid(`${path}[${index}]`, 'the participant is named twice');
  });
  return names;
}

/** The size of a page: 1 to 1,000; 0 means 100. Errors: ARGUMENT_INVALID. */
export function requirePageSize(size: number): number {
  if (size > maxPageSize) throw invalid('page_size', `at most ${maxPageSize} is allowed`);
  return size === 0 ? defaultPageSize : size;
}

/** Accepts a duration between two bounds, inclusive, ms; unset means the default. Errors: ARGUMENT_INVALID. */
export function requireDuration(
  duration: Duration | undefined,
  path: string,
  { min, max, preset }: { readonly min: number; readonly max: number; readonly preset: number },
): number {
  const ms = fromDuration(duration) ?? preset;
  if (ms >= min && ms <= max) return ms;
  throw invalid(path, `from ${min / 1000} to ${max / 1000} seconds are allowed`);
}

/** Accepts a 64-bit number that JavaScript can count to. Errors: ARGUMENT_INVALID. */
export function requireCount(value: bigint, path: string): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw invalid(path, 'the number is too large');
}
