import * as z from 'zod';
import { tcbStatuses } from './collateral.js';

function hex(bytes: number, what: string): z.ZodType<string> {
  return z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`), `expected ${what}: ${bytes} bytes in hex`)
    .transform((text) => text.toLowerCase());
}

const measurements = z.array(hex(48, 'a measurement')).optional();
/** A platform that Intel revoked is refused whatever the policy says. */
const tcbStatus = z.enum(tcbStatuses).exclude(['Revoked']);

/** The policy checks whose failure can be made a warning. Cryptographic checks are not among them. */
export const softFields = [
  'advisories',
  'minimum_tcb_evaluation_number',
  'fmspcs',
  'platforms',
  'migratable',
  'require_sept_ve_disable',
  'td_attributes',
  'xfam',
  'mrtd',
  'rtmr0',
  'rtmr1',
  'rtmr2',
  'rtmr3',
  'mrconfigid',
  'mrowner',
  'mrownerconfig',
  'mrseam',
  'mrservicetd',
] as const;

/** The part of the policy file for x-tdx. docs/namespaces/x-tdx.md describes it field by field. */
export const tdxPolicySchema = z.strictObject({
  /** Every status that is in neither list is refused. */
  tcb_statuses: z
    .strictObject({
      affirming: z.array(tcbStatus).default(['UpToDate']),
      warning: z
        .array(tcbStatus)
        .default([
          'SWHardeningNeeded',
          'ConfigurationNeeded',
          'ConfigurationAndSWHardeningNeeded',
          'OutOfDate',
          'OutOfDateConfigurationNeeded',
        ]),
    })
    .prefault({}),
  /** The advisories that may apply to the platform; not limited by default. */
  advisories: z
    .array(z.string().regex(/^INTEL-SA-\d{5}$/, 'expected an advisory such as INTEL-SA-00837'))
    .optional(),
  minimum_tcb_evaluation_number: z.int().min(0).default(0),
  fmspcs: z
    .strictObject({
      allow: z.array(hex(6, 'an FMSPC')).optional(),
      deny: z.array(hex(6, 'an FMSPC')).default([]),
    })
    .prefault({}),
  /** Single machines, by their PPID or platform instance id. */
  platforms: z
    .strictObject({
      allow: z.array(hex(16, 'a platform id')).optional(),
      deny: z.array(hex(16, 'a platform id')).default([]),
    })
    .prefault({}),
  debug: z.boolean().default(false),
  migratable: z.boolean().default(false),
  require_sept_ve_disable: z.boolean().default(false),
  td_attributes: z.array(hex(8, 'TD attributes')).optional(),
  xfam: z.array(hex(8, 'XFAM')).optional(),
  mrtd: measurements,
  rtmr0: measurements,
  rtmr1: measurements,
  rtmr2: measurements,
  rtmr3: measurements,
  mrconfigid: measurements,
  mrowner: measurements,
  mrownerconfig: measurements,
  mrseam: measurements,
  mrservicetd: measurements,
  revocation: z.enum(['required', 'optional']).default('required'),
  /** The fields above whose failure is a warning. */
  warn_on: z.array(z.enum(softFields)).default([]),
});

/** What the verifier insists on. */
export type TdxPolicy = z.output<typeof tdxPolicySchema>;
/** A field of the policy that a quote can fail. */
export type TdxPolicyField = (typeof softFields)[number] | 'debug' | 'tcb_statuses';
