import { createHash } from 'node:crypto';
import { parseQuote } from '@muster/shared/evidence/x-tpm/quote.js';
import {
  pcrReadCommand,
  pcrReadResponse,
  quoteCommand,
  quoteResponse,
  TpmError,
  type PcrSelection,
} from './commands.js';
import { transact, type TpmDevice } from './device.js';

/** PCRs that a TPM returns at once (TPM 2.0 Library, part 3, TPM2_PCR_Read). */
const pcrsPerRead = 8;
/** How often quote and values are taken again when a PCR was extended in between. */
const maxAttempts = 3;

/** What to quote, and by which key. */
export interface QuoteRequest {
  /** The handle of the key, which has no password. */
  readonly key: number;
  readonly nonce: Uint8Array;
  readonly selection: readonly PcrSelection[];
}

/** A quote with the values that it covers. */
export interface TakenQuote {
  /** TPMS_ATTEST. */
  readonly message: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
  /** In the order of the selection. */
  readonly pcrs: readonly Uint8Array[];
}

/** Takes a quote and the values of its PCRs. Errors: TpmError, and those of {@link transact}. */
export async function takeQuote(
  tpm: TpmDevice,
  { key, nonce, selection }: QuoteRequest,
  signal: AbortSignal,
): Promise<TakenQuote> {
  for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
    const signed = quoteResponse(await transact(tpm, quoteCommand(key, nonce, selection), signal));
    const pcrs = await readPcrs(tpm, selection, signal);
    if (areQuoted(pcrs, signed.message)) return { ...signed, pcrs };
  }
  throw new TpmError('PCRs are extended faster than they can be quoted.');
}

async function readPcrs(
  tpm: TpmDevice,
  selection: readonly PcrSelection[],
  signal: AbortSignal,
): Promise<readonly Uint8Array[]> {
  const values: Uint8Array[] = [];
  for (const part of selection.flatMap(inParts)) {
    const read = pcrReadResponse(await transact(tpm, pcrReadCommand([part]), signal));
    if (read.length !== part.indexes.length) {
      throw new TpmError(`the TPM has no PCRs of the bank ${part.bank}.`);
    }
    values.push(...read);
  }
  return values;
}

function inParts({ bank, indexes }: PcrSelection): readonly PcrSelection[] {
  const count = Math.ceil(indexes.length / pcrsPerRead);
  return Array.from({ length: count }, (_, part) => ({
    bank,
    indexes: indexes.slice(part * pcrsPerRead, (part + 1) * pcrsPerRead),
  }));
}

/** Whether a quote covers these values: the length of its digest tells the hash. */
function areQuoted(values: readonly Uint8Array[], message: Uint8Array): boolean {
  const digest = parseQuote(message)?.pcrDigest ?? new Uint8Array();
  const hash = { 32: 'sha256', 48: 'sha384', 64: 'sha512' }[digest.length];
  return hash !== undefined && createHash(hash).update(Buffer.concat(values)).digest().equals(digest);
}
