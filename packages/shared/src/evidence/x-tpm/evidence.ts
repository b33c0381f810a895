import { createPublicKey, type KeyObject } from 'node:crypto';
import * as z from 'zod';
import { base64Bytes, hexBytes, readJson } from '../encoded.js';
import { remembered } from '../remember.js';
import { parsePublic, type TpmPublic } from './public-area.js';

/** Far more than a quote with all PCRs of all banks takes. */
const maxEvidenceBytes = 64 * 1024;
const maxPcrs = 128;

const evidenceSchema = z.strictObject({
  /** TPM2B_PUBLIC or SubjectPublicKeyInfo (DER) of the attestation key. */
  ak_public: base64Bytes(2048),
  tpm_quote: z.strictObject({
    /** TPMS_ATTEST. */
    message: base64Bytes(2048),
    /** TPMT_SIGNATURE. */
    signature: base64Bytes(2048),
    /** Values of the quoted PCRs, in the order of the quote's selection. */
    pcrs: z.array(hexBytes(64)).max(maxPcrs).optional(),
  }),
});

/** The evidence of a TPM: a quote, the signature over it, the key that made it and the PCRs. */
export type TpmEvidence = z.output<typeof evidenceSchema>;

/** Reads evidence, JSON; undefined when it is of another shape. Nothing in it is verified. */
export function parseEvidence(bytes: Uint8Array): TpmEvidence | undefined {
  return readJson(bytes, evidenceSchema, maxEvidenceBytes);
}

/** Writes evidence as {@link parseEvidence} reads it. */
export function formatEvidence({ ak_public, tpm_quote }: TpmEvidence): Uint8Array {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const pcrs = tpm_quote.pcrs?.map((value) => Buffer.from(value).toString('hex'));
  const json = {
    ak_public: base64(ak_public),
    tpm_quote: {
      message: base64(tpm_quote.message),
      signature: base64(tpm_quote.signature),
      ...(pcrs === undefined ? {} : { pcrs }),
    },
  };
  return new TextEncoder().encode(JSON.stringify(json));
}

/** An attestation key; what a SubjectPublicKeyInfo does not tell is left out. */
export type AttestationKey = Pick<TpmPublic, 'key'> & Partial<TpmPublic>;

/** Attestation keys that are kept as they were read: a machine has one for years. */
const rememberedKeys = 512;

/** Reads an attestation key, TPM2B_PUBLIC or SubjectPublicKeyInfo; undefined when it is neither. */
export const parseAttestationKey = remembered(readAttestationKey, rememberedKeys);

function readAttestationKey(bytes: Uint8Array): AttestationKey | undefined {
  const area = parsePublic(bytes);
  if (area !== undefined) return area;
  const key = parseSpki(bytes);
  return key === undefined ? undefined : { key };
}

/** Reads a SubjectPublicKeyInfo; undefined when it is not in the one form that DER allows. */
function parseSpki(bytes: Uint8Array): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(bytes), format: 'der', type: 'spki' });
    return key.export({ format: 'der', type: 'spki' }).equals(bytes) ? key : undefined;
  } catch {
    return undefined;
  }
}
