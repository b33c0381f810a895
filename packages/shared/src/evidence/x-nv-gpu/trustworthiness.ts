import type { PolicyFailure } from './policy-checks.js';
import type { NvPolicyField } from './policy.js';

type Vector = { readonly [claim: string]: number };

/** Values of draft-ietf-rats-ar4si, section 2.3.2: what each tier means for one claim. */
const affirming = 2;
const warning = 32;
const contraindicated = 96;
const cryptographyFailed = 99;
const noClaim = 0;

const claims = ['instance-identity', 'configuration', 'executables', 'hardware'] as const;

const claimOf: Readonly<Record<NvPolicyField, (typeof claims)[number]>> = {
  devices: 'instance-identity',
  gpus: 'hardware',
  switches: 'hardware',
  architectures: 'hardware',
  chips: 'hardware',
  minimum_driver: 'executables',
  minimum_firmware: 'executables',
  protected_pcie: 'configuration',
  topology: 'configuration',
  devtools: 'configuration',
};

/** The trustworthiness vector of a machine's devices. */
export function trustworthiness(found: {
  readonly failures: readonly PolicyFailure[];
  readonly isSoft: (failure: PolicyFailure) => boolean;
  /** Whether there is a reason that no policy can soften. */
  readonly isRefused: boolean;
  /** Whether every device's chain and signature hold. */
  readonly isGenuine: boolean;
  /** Whether every device's measurements are as they should be. */
  readonly isMeasured: boolean;
}): Vector {
  if (!found.isGenuine) return Object.fromEntries(claims.map((claim) => [claim, cryptographyFailed]));
  const value = (claim: (typeof claims)[number]): number => {
    const own = found.failures.filter(({ field }) => claimOf[field] === claim);
    if (found.isRefused || own.some((failure) => !found.isSoft(failure))) return contraindicated;
    if (own.length > 0) return warning;
    return claim === 'executables' && !found.isMeasured ? noClaim : affirming;
  };
  return Object.fromEntries(claims.map((claim) => [claim, value(claim)]));
}
