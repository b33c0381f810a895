import { readFileSync } from 'node:fs';
import { parseDocument, type Document } from 'yaml';
import type * as z from 'zod';
import { MusterError, refusal } from '../errors.js';
import { fileProblem } from '../files.js';
import { reason, type ReasonCode } from '../reasons.js';

/** The largest configuration or policy file that is read, bytes. */
const maxFileBytes = 1024 * 1024;

/**
 * Reads a YAML (or JSON) file through a schema.
 * Errors: FILE_UNREADABLE; `code` with one reason per offending value, each with its path.
 */
export function loadYaml<T>(file: string, schema: z.ZodType<T>, code: ReasonCode): T {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw refusal(
      'FILE_UNREADABLE',
      { message: `${file} cannot be read: ${fileProblem(cause)}.`, path: file },
      cause,
    );
  }
  return parseYaml(text, schema, code, file);
}

/** Reads YAML text through a schema; `source` names it in messages. Errors: as {@link loadYaml}. */
export function parseYaml<T>(text: string, schema: z.ZodType<T>, code: ReasonCode, source: string): T {
  if (Buffer.byteLength(text) > maxFileBytes) {
    throw refusal(code, { message: `${source} is larger than ${maxFileBytes} bytes.` });
  }
  const document = parseDocument(text, { logLevel: 'error' });
  const [syntax] = document.errors;
  if (syntax !== undefined) {
    const problem = (syntax.message.split('\n')[0] ?? '').replace(/:$/, '');
    throw refusal(code, { message: `${source} is not valid YAML: ${problem}.`, path: source });
  }
  return validate(toValue(document, code, source), schema, code, source);
}

function toValue(document: Document, code: ReasonCode, source: string): unknown {
  try {
    return (document.toJS({ maxAliasCount: 0 }) as unknown) ?? {};
  } catch (cause) {
    throw refusal(code, { message: `${source} uses YAML aliases, which are not accepted.` }, cause);
  }
}

/** Puts a value through a schema. Errors: `code` with one reason per offending value, each with its path. */
export function validate<T>(value: unknown, schema: z.ZodType<T>, code: ReasonCode, source: string): T {
  const result = schema.safeParse(value, { error: problemOf });
  if (result.success) return result.data;
  const reasons = result.error.issues.flatMap((issue) => {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    return keys.map((key) => {
      const path = formatPath(key === undefined ? issue.path : [...issue.path, key]);
      const problem = key === undefined ? issue.message : 'this key is not known';
      return reason(code, { message: `${source}: ${path || 'the document'}: ${problem}.`, path });
    });
  });
  const [first = reason(code), ...rest] = reasons;
  throw new MusterError([first, ...rest]);
}

/** What a value is, in the words of YAML. */
const kinds: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  null: 'nothing',
};

/** What is wrong with a value, for those issues that a schema does not word itself. */
function problemOf(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'too_small' && (issue.origin === 'array' || issue.origin === 'string')) {
    return issue.origin === 'array' ? `expected at least ${issue.minimum} of them` : 'this is empty';
  }
  if (issue.code === 'too_small') return `expected at least ${issue.minimum}`;
  if (issue.code === 'too_big' && issue.origin === 'number') return `expected at most ${issue.maximum}`;
  if (issue.code === 'invalid_value') return `expected ${issue.values.map(String).join(', ')}`;
  if (issue.code !== 'invalid_type') return undefined;
  if (issue.input === undefined) return 'this is required';
  return `expected ${kinds[issue.expected] ?? issue.expected}, found ${kindOf(issue.input)}`;
}

function kindOf(value: unknown): string {
  const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  return kinds[kind] ?? kind;
}

/** Writes a path as `attesters[0].token_lifetime`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, step) =>
      typeof step === 'number' ? `${text}[${step}]` : text === '' ? String(step) : `${text}.${String(step)}`,
    '',
  );
}
