import type { PolicyFailure, TrustClaim } from './policy-checks.js';

type Vector = { readonly [claim: string]: number };

/** Values of draft-ietf-rats-ar4si, section 2.3.2: what each tier means for one claim. */
const affirming = 2;
const warning = 32;
const contraindicated = 96;
const cryptographyFailed = 99;
const noClaim = 0;

const claims: readonly TrustClaim[] = [
  'instance-identity',
  'configuration',
  'executables',
  'hardware',
  'runtime-opaque',
];

/** The vector of evidence whose form, chain or signature does not hold: nothing of it can be believed. */
export const failedCryptography: Vector = Object.fromEntries(
  claims.map((claim) => [claim, cryptographyFailed]),
);

/** The trustworthiness vector of a report whose signature holds. */
export function trustworthiness(found: {
  readonly failures: readonly PolicyFailure[];
  readonly isSoft: (failure: PolicyFailure) => boolean;
  /** Revoked, unbound or inconsistent: against the platform as a whole. */
  readonly isHardwareRefused: boolean;
  readonly hasReferenceValues: boolean;
  readonly isIncomplete: boolean;
}): Vector {
  if (found.isIncomplete) return {};
  const value = (claim: TrustClaim): number => {
    const own = found.failures.filter((failure) => failure.claim === claim);
    if (own.some((failure) => !found.isSoft(failure))) return contraindicated;
    if (claim === 'hardware' && found.isHardwareRefused) return contraindicated;
    if (own.length > 0) return warning;
    return claim === 'executables' && !found.hasReferenceValues ? noClaim : affirming;
  };
  return Object.fromEntries(claims.map((claim) => [claim, value(claim)]));
}
