import type { Reason } from '../../reasons.js';
import type { Appraisal, TrustTier } from '../appraisal.js';
import type { CommonPolicy } from './policy.js';

/** What was found about a machine or one of its devices. */
export interface Findings {
  readonly refusals: readonly Reason[];
  readonly warnings: readonly Reason[];
}

/** The tier that findings come down to. */
export function tierOf({ refusals, warnings }: Findings): TrustTier {
  if (refusals.length > 0) return 'contraindicated';
  return warnings.length > 0 ? 'warning' : 'affirming';
}

/** A service vouches for hardware and state; for the software only where the policy asks for claims about it. */
export function vector(status: Appraisal['status'], { claims }: CommonPolicy): Appraisal['trustworthiness'] {
  if (status === 'none') return {};
  const value = { affirming: 2, warning: 32, contraindicated: 96 }[status];
  const executables = value === 2 && Object.keys(claims).length === 0 ? 0 : value;
  return { 'instance-identity': value, configuration: value, executables, hardware: value };
}
