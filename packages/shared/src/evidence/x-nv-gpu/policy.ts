import * as z from 'zod';
import { architectures } from './device-chain.js';

const count = z.int().min(0).max(32);
/** How many devices of a kind there are to be. */
export const counts = z
  .strictObject({ minimum: count.optional(), exactly: count.optional() })
  .refine(({ minimum, exactly }) => minimum === undefined || exactly === undefined, {
    message: 'give either minimum or exactly',
  });

const chip = z.string().regex(/^[A-Z]{2}\d{2,4}$/, 'expected a chip such as GH100');
const driverVersion = z
  .string()
  .regex(/^\d{1,5}(?:\.\d{1,5}){1,3}$/, 'expected a driver version such as "550.90.07"');
const firmwareVersion = z
  .string()
  .regex(/^[0-9a-fA-F]{2}(?:\.[0-9a-fA-F]{2}){4}$/, 'expected a firmware version such as "96.00.9F.00.01"')
  .transform((text) => text.toUpperCase());
/** The serial number of a device certificate, as in the claim `device_id`. */
const deviceId = z
  .string()
  .regex(/^[0-9a-fA-F]{1,40}$/, 'expected a device id: the serial number of its certificate in hex')
  .transform((text) => text.toLowerCase());

/** The policy checks whose failure can be made a warning. Cryptographic checks are not among them. */
export const softFields = [
  'architectures',
  'chips',
  'gpus',
  'switches',
  'devices',
  'minimum_driver',
  'minimum_firmware',
  'protected_pcie',
  'topology',
] as const;

/** The part of the policy file for x-nv-gpu. docs/namespaces/x-nv-gpu.md describes it field by field. */
export const nvPolicySchema = z.strictObject({
  architectures: z
    .array(z.enum(architectures))
    .min(1)
    .default([...architectures]),
  chips: z.array(chip).optional(),
  gpus: counts.prefault({ minimum: 1 }),
  switches: counts.prefault({}),
  devices: z
    .strictObject({ allow: z.array(deviceId).optional(), deny: z.array(deviceId).default([]) })
    .prefault({}),
  minimum_driver: driverVersion.optional(),
  /** By chip, since the versions of different chips cannot be compared. */
  minimum_firmware: z.record(chip, firmwareVersion).default({}),
  /** The common names of those who may sign manifests. */
  rim_signers: z.array(z.string().min(1).max(128)).optional(),
  require_rims: z.boolean().default(true),
  protected_pcie: z.enum(['allowed', 'required', 'refused']).default('allowed'),
  /** Whether GPUs and switches, where both are there, must be linked to each other alone. */
  topology: z.boolean().default(true),
  /** Whether the driver may run in developer tools mode. */
  devtools: z.boolean().default(false),
  revocation: z.enum(['required', 'optional']).default('required'),
  /** The fields above whose failure is a warning. */
  warn_on: z.array(z.enum(softFields)).default([]),
});

/** What the verifier insists on. */
export type NvPolicy = z.output<typeof nvPolicySchema>;
/** A field of the policy that evidence can fail. */
export type NvPolicyField = (typeof softFields)[number] | 'devtools';
