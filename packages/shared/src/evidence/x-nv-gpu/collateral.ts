import * as z from 'zod';
import type { Pace } from '../../pace.js';
import type { EndorsementDocument } from '../appraisal.js';
import { ocspExpiry } from './ocsp.js';
import { readRim, type RimReading } from './rim.js';
import { loadXmlCrypto } from './rim-signature.js';
import { loadXmldom } from './xml.js';

/** What the RIM service answers with. */
const rimAnswer = z.looseObject({ rim: z.base64().min(1) });

/** A manifest, or an OCSP response, and when it expires. */
export interface NvCollateral {
  readonly content: Uint8Array;
  readonly expiresAt: Date;
}

/** Reads a manifest, as a file or as the RIM service's JSON has it. Undefined when it is neither. */
export function readManifest(bytes: Uint8Array): NvCollateral | undefined {
  const content = fromAnswer(bytes) ?? bytes;
  const reading = readRim(content);
  if (!('chain' in reading)) return undefined;
  const expiresAt = new Date(Math.min(...reading.chain.map(({ notAfter }) => notAfter.getTime())));
  return { content, expiresAt };
}

/** Reads an OCSP response, DER or that in base64. Undefined when it is none, or does not say how long it holds. */
export function readOcspResponse(bytes: Uint8Array): NvCollateral | undefined {
  const text = Buffer.from(bytes).toString('latin1').trim();
  const content = /^[A-Za-z0-9+/\s]+={0,2}$/.test(text)
    ? Uint8Array.from(Buffer.from(text, 'base64'))
    : bytes;
  const expiresAt = ocspExpiry(content);
  return expiresAt && { content, expiresAt };
}

/** The contents of the documents of one kind. */
export function contentsOf(
  documents: readonly EndorsementDocument[] = [],
  kind: EndorsementDocument['kind'],
): readonly Uint8Array[] {
  return documents.filter((document) => document.kind === kind).map(({ content }) => content);
}

/**
 * Reads manifests one after the other, and lets others have their turn between: the libraries that it takes to read one
 * are loaded with the first.
 */
export async function readRims(
  documents: readonly EndorsementDocument[] | undefined,
  pace: Pace,
): Promise<readonly RimReading[]> {
  const manifests = contentsOf(documents, 'nvidia-rim');
  if (manifests.length > 0) await readEach([loadXmldom, loadXmlCrypto], (load) => load(), pace);
  return readEach(manifests, readRim, pace);
}

/** Reads one thing after the other, and lets others have their turn between. */
export async function readEach<Input, Output>(
  inputs: readonly Input[],
  read: (input: Input) => Output,
  pace: Pace,
): Promise<readonly Output[]> {
  const outputs: Output[] = [];
  for (const input of inputs) {
    await pace.step();
    outputs.push(read(input));
  }
  return outputs;
}

function fromAnswer(bytes: Uint8Array): Uint8Array | undefined {
  if (!/^\s*\{/.test(Buffer.from(bytes.subarray(0, 64)).toString('latin1'))) return undefined;
  try {
    const { rim } = rimAnswer.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return Uint8Array.from(Buffer.from(rim, 'base64'));
  } catch {
    return undefined;
  }
}
