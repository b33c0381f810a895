import * as z from 'zod';
import { reason, type Reason } from '../../reasons.js';
import type { TrustTier } from '../appraisal.js';
import { earProfile } from '../ear.js';
import { objectOf, shownText, textAnswers, type ClaimSet } from './claims.js';
import { commonPolicy } from './policy.js';
import type { ServiceClaims } from './token.js';
import { tokenVerifier } from './verifier.js';
import { readSingle, type OpenBundle } from './bundle.js';

/** Tokens of this kind often carry no expiry. */
const maximumAgeMs = 600_000;

const policySchema = z.strictObject({
  ...commonPolicy([], maximumAgeMs),
  /** The profiles of the verifiers whose results count. */
  profiles: z
    .array(z.string().min(1))
    .min(1)
    .default([earProfile, 'tag:github.com,2024:confidential-containers/Trustee']),
  /** The submodules that a result must have. */
  submodules: z.array(z.string().min(1)).default([]),
});
type EarPolicy = z.output<typeof policySchema>;

/** The verifier of attestation results in EAR form (draft-ietf-rats-ear), as of Trustee and Veraison. */
export const earVerifier = tokenVerifier<EarPolicy>({
  namespace: 'ear',
  policySchema,
  algorithms: ['ES256', 'ES384'],
  read: readSingle,
  issuer: ({ iss, ...claims }) => {
    const developer = objectOf(claims['ear.verifier-id'])?.['developer'];
    return iss ?? (typeof developer === 'string' ? developer : undefined);
  },
  checkBinding,
  judge,
  warn: ({ main }) =>
    submodules(main).flatMap(([name, claims]) =>
      tierOf(claims['ear.status']) === 'warning' ? [resultReason(name, 'warning')] : [],
    ),
});

const tiers: Readonly<Record<string, TrustTier>> = {
  0: 'none',
  2: 'affirming',
  32: 'warning',
  96: 'contraindicated',
  none: 'none',
  affirming: 'affirming',
  warning: 'warning',
  contraindicated: 'contraindicated',
};

/** Reads a tier by number or name; what is not known is no tier. */
function tierOf(status: unknown): TrustTier | undefined {
  if (typeof status !== 'string' && typeof status !== 'number') return undefined;
  return Object.hasOwn(tiers, status) ? tiers[status] : undefined;
}

function submodules(claims: ServiceClaims): readonly (readonly [string, ClaimSet])[] {
  return Object.entries(objectOf(claims['submods']) ?? {}).map(([name, value]) => [
    name,
    objectOf(value) ?? {},
  ]);
}

function judge({ main }: OpenBundle, { profiles, submodules: required }: EarPolicy): readonly Reason[] {
  const found = submodules(main);
  const profile = main['eat_profile'];
  const missing = required.filter((name) => !found.some(([present]) => present === name));
  return [
    typeof profile === 'string' && profiles.includes(profile)
      ? []
      : reason('SERVICE_CLAIM', {
          message: 'The profile of the result is not allowed.',
          path: 'eat_profile',
        }),
    found.length > 0 ? [] : reason('SERVICE_RESULT', { message: 'The result is about nothing.' }),
    missing.map((name) =>
      reason('SERVICE_RESULT', { message: `The result has no submodule ${name}.`, path: `submods.${name}` }),
    ),
    found.flatMap(([name, claims]) => {
      const tier = tierOf(claims['ear.status']);
      return tier === 'affirming' || tier === 'warning' ? [] : [resultReason(name, tier ?? 'unknown')];
    }),
  ].flat();
}

function resultReason(name: string, tier: string): Reason {
  return reason('SERVICE_RESULT', {
    message: `The service's result for ${shownText(name)} is ${tier}.`,
    path: `submods.${shownText(name)}`,
  });
}

/** The nonce is the result's own, or that of the evidence, which then every submodule shows. */
function checkBinding(claims: ServiceClaims, reportData: Uint8Array | undefined): Reason | undefined {
  const own = claims['eat_nonce'];
  const shown =
    own === undefined ? submodules(claims).map(([, claims]) => evidenceNonce(claims)) : [own].flat();
  if (shown.length === 0 || shown.some((nonce) => typeof nonce !== 'string' || nonce === '')) {
    return reason('SERVICE_NONCE_MISSING');
  }
  if (reportData === undefined) return undefined;
  const isBound =
    own === undefined
      ? shown.every((nonce) => textAnswers(nonce, reportData))
      : shown.some((nonce) => textAnswers(nonce, reportData));
  return isBound ? undefined : reason('SERVICE_NONCE');
}

function evidenceNonce(submodule: ClaimSet): unknown {
  const evidence = objectOf(submodule['ear.veraison.annotated-evidence']);
  return objectOf(evidence?.['runtime_data_claims'])?.['nonce'];
}
