import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { Clock } from '@muster/shared/clock.js';
import { shortNonce } from '@muster/shared/evidence/nonce.js';
import { formatEvidence } from '@muster/shared/evidence/x-tpm/evidence.js';
import { pcrSelectionSchema } from '@muster/shared/evidence/x-tpm/pcrs.js';
import { parseQuote } from '@muster/shared/evidence/x-tpm/quote.js';
import { generationFailed, type Attester } from '../attester.js';
import { commonOptions } from '../options.js';
import {
  pcrReadCommand,
  pcrReadResponse,
  quoteCommand,
  quoteResponse,
  readPublicCommand,
  readPublicResponse,
  TpmError,
  type PcrSelection,
} from './commands.js';
import { transact } from './device.js';

const namespace = 'x-tpm';
/** PCRs that a TPM returns at once (TPM 2.0 Library, part 3, TPM2_PCR_Read). */
const pcrsPerRead = 8;
/** How often quote and values are taken again when a PCR was extended in between. */
const maxAttempts = 3;
const firstPersistentHandle = 0x8100_0000;
const lastPersistentHandle = 0x81ff_ffff;

/** The configuration of the attester of a TPM 2.0. docs/attesters.md describes it field by field. */
export const tpmOptions = z.strictObject({
  namespace: z.literal(namespace),
  ...commonOptions,
  /** The TPM's device, or the socket of a software TPM. */
  device: z.string().min(1).default('/dev/tpmrm0'),
  /** The persistent handle of the attestation key, which has no password. */
  attestation_key: z.int().min(firstPersistentHandle).max(lastPersistentHandle),
  pcrs: pcrSelectionSchema.prefault({ sha256: Array.from({ length: 24 }, (_, index) => index) }),
});

/** Makes the attester of a TPM. It gives up as soon as its signal says so; nothing else bounds its time. */
export function tpmAttester(
  { device, attestation_key, pcrs }: z.output<typeof tpmOptions>,
  clock: Clock,
): Attester {
  const tpm = { path: device, clock };
  const selection = (['sha256', 'sha384', 'sha512'] as const).flatMap((bank) => {
    const indexes = pcrs[bank];
    return indexes === undefined ? [] : [{ bank, indexes }];
  });
  const never = new AbortController().signal;

  async function readPcrs(signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const values: Uint8Array[] = [];
    for (const part of selection.flatMap(inParts)) {
      const read = pcrReadResponse(await transact(tpm, pcrReadCommand([part]), signal));
      if (read.length !== part.indexes.length)
        throw new TpmError(`the TPM has no PCRs of the bank ${part.bank}.`);
      values.push(...read);
    }
    return values;
  }

  async function quote(reportData: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const nonce = shortNonce(reportData);
    const ak_public = readPublicResponse(await transact(tpm, readPublicCommand(attestation_key), signal));
    const signed = quoteResponse(
      await transact(tpm, quoteCommand(attestation_key, nonce, selection), signal),
    );
    const values = await readPcrs(signal);
    return areQuoted(values, signed)
      ? formatEvidence({ ak_public, tpm_quote: { ...signed, pcrs: [...values] } })
      : undefined;
  }

  return {
    namespace,
    async collect(reportData, { signal = never } = {}) {
      try {
        for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
          const evidence = await quote(reportData, signal);
          if (evidence !== undefined) return { namespace, evidence };
        }
        throw new TpmError('PCRs are extended faster than they can be quoted.');
      } catch (error) {
        if (error instanceof TpmError) throw generationFailed(namespace, error.message, error);
        throw error;
      }
    },
  };
}

function inParts({ bank, indexes }: PcrSelection): readonly PcrSelection[] {
  const count = Math.ceil(indexes.length / pcrsPerRead);
  return Array.from({ length: count }, (_, part) => ({
    bank,
    indexes: indexes.slice(part * pcrsPerRead, (part + 1) * pcrsPerRead),
  }));
}

/** Whether a quote covers these values: the length of its digest tells the hash. */
function areQuoted(values: readonly Uint8Array[], { message }: { readonly message: Uint8Array }): boolean {
  const digest = parseQuote(message)?.pcrDigest ?? new Uint8Array();
  const hash = { 32: 'sha256', 48: 'sha384', 64: 'sha512' }[digest.length];
  return hash !== undefined && createHash(hash).update(Buffer.concat(values)).digest().equals(digest);
}
