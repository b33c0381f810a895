import { reason } from '../../reasons.js';
import type { DeviceAppraisal, TrustTier } from '../appraisal.js';
import type { DeviceFindings } from './device.js';
import type { PolicyFailure } from './policy-checks.js';
import type { NvPolicy } from './policy.js';
import { trustworthiness } from './trustworthiness.js';

/** The result for one device by itself; what the policy asks of the machine as a whole is not in it. */
export function deviceAppraisal(name: string, found: DeviceFindings, policy: NvPolicy): DeviceAppraisal {
  const { device, refusals, failures, missing, unchecked, measured, claims, simulated } = found;
  const isSoft = softIn(policy);
  const isUnmeasured = unchecked.includes('rims');
  const status = tier({
    isRefused: refusals.length > 0 || failures.some((failure) => !isSoft(failure)),
    isIncomplete: missing.length > 0,
    isWarned: failures.length > 0 || isUnmeasured,
  });
  return {
    name,
    status,
    reasons: [
      ...refusals,
      ...failures.map((failure) => failure.reason),
      ...missing,
      ...(isUnmeasured ? [reason('NV_RIM_MISSING')] : []),
    ],
    claims,
    unchecked,
    trustworthiness:
      status === 'none'
        ? {}
        : trustworthiness({
            failures,
            isSoft,
            isRefused: refusals.length > 0,
            isGenuine: device !== undefined,
            isMeasured: measured,
          }),
    simulated,
  };
}

/** Whether a policy makes a failure a warning. */
export function softIn({ warn_on }: NvPolicy): (failure: PolicyFailure) => boolean {
  return ({ field }) => warn_on.some((soft) => soft === field);
}

/** The tier that findings come down to. */
export function tier(found: { isRefused: boolean; isIncomplete: boolean; isWarned: boolean }): TrustTier {
  if (found.isRefused) return 'contraindicated';
  if (found.isIncomplete) return 'none';
  return found.isWarned ? 'warning' : 'affirming';
}
