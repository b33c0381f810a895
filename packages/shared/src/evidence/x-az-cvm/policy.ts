import * as z from 'zod';
import { snpPolicySchema } from '../x-snp/policy.js';
import { tdxPolicySchema } from '../x-tdx/policy.js';
import { pcrReferencesSchema, pcrSelectionSchema } from '../x-tpm/pcrs.js';

const allPcrs = Array.from({ length: 24 }, (_, index) => index);

/** The part of the policy file for x-az-cvm. docs/namespaces/x-az-cvm.md describes it field by field. */
export const azureCvmPolicySchema = z.strictObject({
  /** The hardware that is allowed below the VM. */
  tees: z
    .array(z.enum(['snp', 'tdx']))
    .min(1)
    .default(['snp', 'tdx']),
  pcr_selection: pcrSelectionSchema.prefault({ sha256: allPcrs }),
  pcrs: pcrReferencesSchema.optional(),
  require_secure_boot: z.boolean().default(false),
  /** Whether the serial console may be enabled. */
  console: z.boolean().default(true),
  /** What the verifier of the SEV-SNP report insists on. */
  snp: snpPolicySchema.omit({ revocation: true }).prefault({}),
  /** What the verifier of the TD quote insists on. */
  tdx: tdxPolicySchema.omit({ revocation: true }).prefault({}),
  revocation: z.enum(['required', 'optional']).default('required'),
});

/** What the verifier insists on. */
export type AzureCvmPolicy = z.output<typeof azureCvmPolicySchema>;
