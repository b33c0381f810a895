import type { JSONWebKeySet } from 'jose';
import * as z from 'zod';
import { duration } from '../../config/duration.js';

const maxKeys = 64;
const revocationRefusal =
  'it has no effect here: the service looks after the revocation of hardware, and revokes its own keys by publishing others';

/** A JSON Web Key Set (RFC 7517, section 5) of public keys, as a service publishes it. */
export const keySetSchema: z.ZodType<JSONWebKeySet> = z.looseObject({
  keys: z
    .array(
      z
        .looseObject({ kty: z.enum(['RSA', 'EC']) })
        .refine((key) => !('d' in key), 'a private key does not belong here'),
    )
    .min(1)
    .max(maxKeys),
});

/** A JSON Pointer (RFC 6901) to a claim, such as `/x-ms-isolation-tee/x-ms-compliance-status`. */
const pointer = z.string().regex(/^(?:\/(?:[^~/]|~[01])*)+$/, 'expected a JSON Pointer to a claim');
const scalar = z.union([z.string(), z.number(), z.boolean()]);

/** An issuer, as tokens name it, with its keys where the policy pins them, or the address where they are. */
const issuer = z.strictObject({
  issuer: z.string().min(1),
  jwks: keySetSchema.optional(),
  jwks_uri: z.url({ protocol: /^https$/ }).optional(),
});

/** The fields that the policies of all attestation services have. */
export function commonPolicy(
  trusted: readonly z.output<typeof issuer>[],
  maximumAgeMs?: number,
): {
  readonly issuers: z.ZodDefault<z.ZodArray<typeof issuer>>;
  readonly claims: z.ZodDefault<z.ZodRecord<typeof pointer, z.ZodArray<typeof scalar>>>;
  readonly maximum_age: z.ZodType<number | undefined>;
  readonly revocation: z.ZodOptional<z.ZodNever>;
} {
  const age = duration('1s', '24h');
  return {
    /** Whose tokens count; a service's keys are known by its issuer. */
    issuers: z.array(issuer).default([...trusted]),
    /** The values that claims may have. */
    claims: z.record(pointer, z.array(scalar)).default({}),
    /** How long after its issue a token counts, ms, where it does not expire before. */
    maximum_age: maximumAgeMs === undefined ? age.optional() : age.default(maximumAgeMs),
    /** Refused, since it would have no effect: no revocation information about a service's keys exists. */
    revocation: z.never({ error: revocationRefusal }).optional(),
  };
}

/** What the policies of all attestation services have in common. */
export interface CommonPolicy {
  readonly issuers: readonly z.output<typeof issuer>[];
  readonly claims: Readonly<Record<string, readonly z.output<typeof scalar>[]>>;
  readonly maximum_age?: number | undefined;
}

const issuersSchema = z.looseObject({ issuers: z.array(issuer) });

/** The issuers that a namespace's policy trusts; none where the namespace has no tokens of a service. */
export function issuersOf(policy: unknown): CommonPolicy['issuers'] {
  return issuersSchema.safeParse(policy).data?.issuers ?? [];
}
