import * as z from 'zod';
import { products } from './product.js';

function hex(bytes: number, what: string): z.ZodType<string> {
  return z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`), `expected ${what}: ${bytes} bytes in hex`)
    .transform((text) => text.toLowerCase());
}

const component = z.int().min(0).max(255);
const tcb = z.strictObject({
  bootloader: component.default(0),
  tee: component.default(0),
  snp: component.default(0),
  microcode: component.default(0),
});
/** One minimum per product, since the components of different products cannot be compared. */
const minimumTcb = z.strictObject({
  Milan: tcb.optional(),
  Genoa: tcb.optional(),
  Turin: tcb.extend({ fmc: component.default(0) }).optional(),
});

/** A chip id as reports have it; Turin's may be given by its 8 significant bytes alone. */
const chipId = z
  .string()
  .regex(/^(?:[0-9a-fA-F]{16}|[0-9a-fA-F]{128})$/, 'expected a chip id: 64 bytes in hex, or 8 for Turin')
  .transform((text) => text.toLowerCase().padEnd(128, '0'));

/** The policy checks whose failure can be made a warning. Cryptographic checks are not among them. */
export const softFields = [
  'products',
  'deny_products',
  'chips',
  'signing_keys',
  'vmpl',
  'migration_agent',
  'measurements',
  'host_data',
  'id_key_digests',
  'author_key_digests',
  'minimum_guest_svn',
  'minimum_tcb',
  'minimum_launch_tcb',
  'minimum_firmware',
  'smt',
  'require_alias_check',
  'require_ecc',
  'require_tsme',
  'require_rapl_disabled',
  'require_ciphertext_hiding',
  'require_single_socket',
] as const;

/** The part of the policy file for x-snp. docs/namespaces/x-snp.md describes it field by field. */
export const snpPolicySchema = z.strictObject({
  products: z
    .array(z.enum(products))
    .min(1)
    .default([...products]),
  deny_products: z.array(z.enum(products)).default([]),
  chips: z
    .strictObject({ allow: z.array(chipId).optional(), deny: z.array(chipId).default([]) })
    .prefault({}),
  signing_keys: z
    .array(z.enum(['VCEK', 'VLEK']))
    .min(1)
    .default(['VCEK', 'VLEK']),
  vmpl: z.array(z.int().min(0).max(3)).min(1).default([0]),
  debug: z.boolean().default(false),
  migration_agent: z.boolean().default(false),
  measurements: z.array(hex(48, 'a launch measurement')).optional(),
  host_data: z.array(hex(32, 'host data')).optional(),
  id_key_digests: z.array(hex(48, 'a key digest')).optional(),
  author_key_digests: z.array(hex(48, 'a key digest')).optional(),
  minimum_guest_svn: z.int().min(0).max(0xffff_ffff).default(0),
  minimum_tcb: minimumTcb.prefault({}),
  minimum_launch_tcb: minimumTcb.prefault({}),
  /** `major.minor.build` of the committed SEV-SNP firmware. */
  minimum_firmware: z
    .string()
    .regex(/^\d{1,3}\.\d{1,3}\.\d{1,3}$/, 'expected a firmware version such as "1.55.29"')
    .optional(),
  /** Whether the host may run with simultaneous multi-threading. */
  smt: z.boolean().default(true),
  require_alias_check: z.boolean().default(false),
  require_ecc: z.boolean().default(false),
  require_tsme: z.boolean().default(false),
  require_rapl_disabled: z.boolean().default(false),
  require_ciphertext_hiding: z.boolean().default(false),
  require_single_socket: z.boolean().default(false),
  revocation: z.enum(['required', 'optional']).default('required'),
  /** The fields above whose failure is a warning. */
  warn_on: z.array(z.enum(softFields)).default([]),
});

/** What the verifier insists on. */
export type SnpPolicy = z.output<typeof snpPolicySchema>;
/** A field of the policy that a report can fail. */
export type SnpPolicyField = (typeof softFields)[number] | 'debug';
