import * as z from 'zod';
import { pcrReferencesSchema, pcrSelectionSchema } from './pcrs.js';

/** SHA-256 over a key's SubjectPublicKeyInfo, or a key's name: the identifier of its hash and its digest. */
const attestationKey = z
  .string()
  .regex(
    /^(?:[0-9a-fA-F]{64}|000[bB][0-9a-fA-F]{64}|000[cC][0-9a-fA-F]{96}|000[dD][0-9a-fA-F]{128})$/,
    'expected the SHA-256 of a public key, or the name of a TPM key, in hex',
  )
  .transform((text) => text.toLowerCase());

/** SHA-256 over a SubjectPublicKeyInfo. */
const fingerprint = z
  .string()
  .regex(/^[0-9a-fA-F]{64}$/, 'expected the SHA-256 of a public key, in hex')
  .transform((text) => text.toLowerCase());

/**
 * That the federation's server is believed when it says that an attestation key is in the TPM with a certain endorsement
 * key, which it found by credential activation.
 */
const activation = z.strictObject({
  /** The CAs of TPMs' makers, roots or below them, that certify endorsement keys. */
  ek_roots: z.array(fingerprint).default([]),
  /** The endorsement keys that are allowed; every one below `ek_roots` where it is absent. */
  eks: z.array(fingerprint).min(1).optional(),
});

/** The part of the policy file for x-tpm. docs/namespaces/x-tpm.md describes it field by field. */
export const tpmPolicySchema = z.strictObject({
  /** The attestation keys that were proven to be in a genuine TPM when they were enrolled. */
  trusted_aks: z.array(attestationKey).default([]),
  activation: activation.optional(),
  pcr_selection: pcrSelectionSchema.optional(),
  pcrs: pcrReferencesSchema.optional(),
  /** Whether the TPM's clock must never have run backwards. */
  require_safe_clock: z.boolean().default(false),
  /**
   * Whether the revocation lists of the TPM's maker must be at hand. Without effect on `trusted_aks`: an attestation key
   * is revoked by taking it off.
   */
  revocation: z.enum(['required', 'optional']).default('required'),
});

/** What the verifier insists on. */
export type TpmPolicy = z.output<typeof tpmPolicySchema>;
