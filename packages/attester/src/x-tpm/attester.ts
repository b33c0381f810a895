import * as z from 'zod';
import type { Clock } from '@muster/shared/clock.js';
import { shortNonce } from '@muster/shared/evidence/nonce.js';
import { formatEvidence } from '@muster/shared/evidence/x-tpm/evidence.js';
import { pcrSelectionSchema } from '@muster/shared/evidence/x-tpm/pcrs.js';
import { generationFailed, type Attester, type KeyProof } from '../attester.js';
import { commonOptions } from '../options.js';
import { readPublicCommand, readPublicResponse, TpmError } from './commands.js';
import { transact, withTpm, type TpmDevice } from './device.js';
import { describeKey, openCredential, type TpmKeys } from './key-proof.js';
import { takeQuote } from './quote.js';

const namespace = 'x-tpm';
const firstPersistentHandle = 0x8100_0000;
const lastPersistentHandle = 0x81ff_ffff;
const persistentHandle = z.int().min(firstPersistentHandle).max(lastPersistentHandle);

/** The configuration of the attester of a TPM 2.0. docs/attesters.md describes it field by field. */
export const tpmOptions = z.strictObject({
  namespace: z.literal(namespace),
  ...commonOptions,
  /** The TPM's device, or the socket of a software TPM. */
  device: z.string().min(1).default('/dev/tpmrm0'),
  /** The persistent handle of the attestation key, which has no password. */
  attestation_key: persistentHandle,
  /** The persistent handle of the endorsement key, by which the attestation key is proven; absent where it is pinned. */
  endorsement_key: persistentHandle.optional(),
  /** Certificates above the endorsement key's, PEM or DER; all of them where the TPM holds none. */
  endorsement_certificates: z.string().min(1).optional(),
  pcrs: pcrSelectionSchema.prefault({ sha256: Array.from({ length: 24 }, (_, index) => index) }),
});

const never = new AbortController().signal;

/** Makes the attester of a TPM. It gives up as soon as its signal says so; nothing else bounds its time. */
export function tpmAttester(options: z.output<typeof tpmOptions>, clock: Clock): Attester {
  const { device, attestation_key: key, endorsement_key: endorsementKey, pcrs } = options;
  const tpm = { path: device, clock };
  const selection = (['sha256', 'sha384', 'sha512'] as const).flatMap((bank) => {
    const indexes = pcrs[bank];
    return indexes === undefined ? [] : [{ bank, indexes }];
  });
  return {
    namespace,
    collect: (reportData, { signal = never } = {}) =>
      explained(async () => {
        const ak_public = readPublicResponse(await transact(tpm, readPublicCommand(key), signal));
        const { message, signature, pcrs } = await takeQuote(
          tpm,
          { key, nonce: shortNonce(reportData), selection },
          signal,
        );
        const tpm_quote = { message, signature, pcrs: [...pcrs] };
        return { namespace, evidence: formatEvidence({ ak_public, tpm_quote }) };
      }),
    ...(endorsementKey !== undefined && {
      keyProof: keyProof(tpm, { attestationKey: key, endorsementKey }, options.endorsement_certificates),
    }),
  };
}

function keyProof(tpm: TpmDevice, keys: TpmKeys, certificateFile: string | undefined): KeyProof {
  return {
    describe: ({ signal = never } = {}) =>
      explained(() => withTpm(tpm, signal, (send) => describeKey(send, keys, certificateFile))),
    open: (credential, { signal = never } = {}) =>
      explained(() => withTpm(tpm, signal, (send) => openCredential(send, keys, credential))),
  };
}

/** Says of which namespace's device an error is. */
async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TpmError) throw generationFailed(namespace, error.message, error);
    throw error;
  }
}
