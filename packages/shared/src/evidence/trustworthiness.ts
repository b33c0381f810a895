type Vector = { readonly [claim: string]: number };

/** The claims of a trustworthiness vector that the policies of CPU evidence speak about (draft-ietf-rats-ar4si, section 2.3.4). */
export type TrustClaim =
  'instance-identity' | 'configuration' | 'executables' | 'hardware' | 'runtime-opaque';

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

/** The trustworthiness vector of evidence whose signature holds. */
export function trustworthiness(found: {
  /** The fields of the policy that it fails; a soft failure only warns. */
  readonly failures: readonly { readonly claim: TrustClaim; readonly isSoft: boolean }[];
  /** `refused` when revoked, unbound or inconsistent: against the platform as a whole. `unknown` makes no claim. */
  readonly hardware: 'known' | 'unknown' | 'refused';
  readonly hasReferenceValues: boolean;
  readonly isIncomplete: boolean;
}): Vector {
  if (found.isIncomplete) return {};
  const value = (claim: TrustClaim): number => {
    const own = found.failures.filter((failure) => failure.claim === claim);
    if (own.some(({ isSoft }) => !isSoft)) return contraindicated;
    if (claim === 'hardware' && found.hardware === 'refused') return contraindicated;
    if (own.length > 0) return warning;
    const isSilent =
      (claim === 'executables' && !found.hasReferenceValues) ||
      (claim === 'hardware' && found.hardware === 'unknown');
    return isSilent ? noClaim : affirming;
  };
  return Object.fromEntries(claims.map((claim) => [claim, value(claim)]));
}
