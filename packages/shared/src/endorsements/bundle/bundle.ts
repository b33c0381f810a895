import * as z from 'zod';
import { refusal } from '../../errors.js';
import { splitCertificates } from '../../evidence/x509.js';
import { readEndorsement, writeCertificates, writeEndorsement } from '../endorsement.js';
import { queryOf } from '../paths.js';
import type { Answer } from './answer.js';

/** The largest bundle that is read, bytes. */
export const maxBundleBytes = 64 * 1024 * 1024;
const maxEntries = 4096;
const maxContentBytes = 1024 * 1024;

const format = 'muster-endorsements/1';
const base64 = z.base64().max(Math.ceil(maxContentBytes / 3) * 4);

const bundleSchema = z.strictObject({
  format: z.literal(format),
  created: z.iso.datetime(),
  entries: z
    .array(
      z.strictObject({
        vendor: z.string(),
        path: z.string().max(512),
        content: base64.min(1),
        /** The certificates of the signer, PEM in base64, where the vendor sends them beside the answer. */
        issuers: base64.optional(),
      }),
    )
    .max(maxEntries),
});

/** Writes answers as one JSON file; docs/endorsements.md describes it. */
export function writeBundle(answers: readonly Answer[], created: Date): string {
  const entries = answers.map(({ query: { vendor, kind, path }, found }) => ({
    vendor,
    path,
    content: toBase64(writeEndorsement(kind, found)),
    ...(found.issuers !== undefined &&
      found.issuers.length > 0 && { issuers: toBase64(writeCertificates(found.issuers)) }),
  }));
  return `${JSON.stringify({ format, created: created.toISOString(), entries }, undefined, 1)}\n`;
}

/**
 * Reads a bundle. Nothing in it is trusted yet, but every path is one that a verifier asks for, so that none leaves the
 * directory that it is written to. Errors: ENDORSEMENT_BUNDLE_INVALID.
 */
export function readBundle(bytes: Uint8Array): readonly Answer[] {
  const { entries } = parse(bytes);
  const answers = entries.map(({ vendor, path, content, issuers }): Answer => {
    const query = queryOf(vendor, path);
    if (query === undefined) throw invalid(`${JSON.stringify(`${vendor}/${path}`)} is no path of a vendor`);
    const found = readEndorsement(query.kind, fromBase64(content));
    const chain = issuers === undefined ? [] : splitCertificates(fromBase64(issuers));
    if (found === undefined || chain === undefined) throw invalid(`${vendor}/${path} is not readable`);
    return { query, found: chain.length === 0 ? found : { ...found, issuers: chain } };
  });
  const paths = new Set(answers.map(({ query: { vendor, path } }) => `${vendor}/${path}`));
  if (paths.size < answers.length) throw invalid('a path is there twice');
  return answers;
}

function parse(bytes: Uint8Array): z.output<typeof bundleSchema> {
  if (bytes.length > maxBundleBytes) throw invalid(`it is larger than ${maxBundleBytes} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalid('it is not JSON', cause);
  }
  const { success, data, error } = bundleSchema.safeParse(json);
  if (success) return data;
  const [issue] = error.issues;
  throw invalid(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}

function invalid(why: string, cause?: unknown): Error {
  return refusal(
    'ENDORSEMENT_BUNDLE_INVALID',
    { message: `This is no bundle of endorsements: ${why}.` },
    cause,
  );
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'base64'));
}
