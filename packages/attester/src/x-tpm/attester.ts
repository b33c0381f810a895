import * as z from 'zod';
import type { Clock } from '@muster/shared/clock.js';
import { shortNonce } from '@muster/shared/evidence/nonce.js';
import { formatEvidence } from '@muster/shared/evidence/x-tpm/evidence.js';
import { pcrSelectionSchema } from '@muster/shared/evidence/x-tpm/pcrs.js';
import { generationFailed, type Attester } from '../attester.js';
import { commonOptions } from '../options.js';
import { readPublicCommand, readPublicResponse, TpmError } from './commands.js';
import { transact } from './device.js';
import { takeQuote } from './quote.js';

const namespace = 'x-tpm';
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
  { device, attestation_key: key, pcrs }: z.output<typeof tpmOptions>,
  clock: Clock,
): Attester {
  const tpm = { path: device, clock };
  const selection = (['sha256', 'sha384', 'sha512'] as const).flatMap((bank) => {
    const indexes = pcrs[bank];
    return indexes === undefined ? [] : [{ bank, indexes }];
  });
  const never = new AbortController().signal;
  return {
    namespace,
    async collect(reportData, { signal = never } = {}) {
      try {
        const ak_public = readPublicResponse(await transact(tpm, readPublicCommand(key), signal));
        const { message, signature, pcrs } = await takeQuote(
          tpm,
          { key, nonce: shortNonce(reportData), selection },
          signal,
        );
        const tpm_quote = { message, signature, pcrs: [...pcrs] };
        return { namespace, evidence: formatEvidence({ ak_public, tpm_quote }) };
      } catch (error) {
        if (error instanceof TpmError) throw generationFailed(namespace, error.message, error);
        throw error;
      }
    },
  };
}
