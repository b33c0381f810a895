import type { Reason } from '../../reasons.js';
import type { DeviceAppraisal } from '../appraisal.js';
import type { CommonPolicy } from './policy.js';
import { tierOf, vector, type Findings } from './tier.js';
import type { ServiceClaims } from './token.js';

/** The result for one device by itself; paths of its reasons are within its claims. */
export function deviceAppraisal(
  name: string,
  claims: ServiceClaims,
  found: Findings,
  policy: CommonPolicy,
): DeviceAppraisal {
  const status = tierOf(found);
  return {
    name,
    status,
    reasons: [...found.refusals, ...found.warnings],
    claims: claims as unknown as DeviceAppraisal['claims'],
    unchecked: [],
    trustworthiness: vector(status, policy),
    simulated: false,
  };
}

/** A reason about a device, as the whole machine's result gives it: `GPU-1`, `GPU-1.measres` or `GPU-1/hwmodel`. */
export function locate(name: string, entry: Reason): Reason {
  const { path = '' } = entry;
  return { ...entry, path: path === '' || path.startsWith('/') ? `${name}${path}` : `${name}.${path}` };
}
