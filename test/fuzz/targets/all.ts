import type { NamedTarget } from '../target.js';
import { federationTargets } from './federation.js';
import { fileTargets } from './files.js';
import { nvidiaTargets } from './nvidia.js';
import { snpTargets } from './snp.js';
import { tdxTargets } from './tdx.js';
import { tokenServiceTargets } from './tokens.js';
import { tpmTargets } from './tpm.js';
import { x509Targets } from './x509.js';

/** Everything that reads what others send. */
export const targets: readonly NamedTarget[] = [
  ...x509Targets,
  ...snpTargets,
  ...tdxTargets,
  ...nvidiaTargets,
  ...tpmTargets,
  ...tokenServiceTargets,
  ...federationTargets,
  ...fileTargets,
];
