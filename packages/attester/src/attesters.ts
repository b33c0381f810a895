import * as z from 'zod';
import { systemClock, type Clock } from '@muster/shared/clock.js';
import type { Attester } from './attester.js';
import { withDeadline } from './deadline.js';
import { azureAciAttester, azureAciOptions } from './x-az-aci/attester.js';
import { azureCvmAttester, azureCvmOptions } from './x-az-cvm/attester.js';
import { nvGpuAttester, nvGpuOptions } from './x-nv-gpu/attester.js';
import { snpAttester, snpOptions } from './x-snp/attester.js';
import { tdxAttester, tdxOptions } from './x-tdx/attester.js';
import { tpmAttester, tpmOptions } from './x-tpm/attester.js';

/** The configuration of one attester: its namespace decides which other keys there are. */
export const attesterConfigSchema = z.discriminatedUnion('namespace', [
  snpOptions,
  tdxOptions,
  nvGpuOptions,
  tpmOptions,
  azureCvmOptions,
  azureAciOptions,
]);

/** The configuration of one attester, with all defaults filled in. */
export type AttesterConfig = z.output<typeof attesterConfigSchema>;

type Namespace = AttesterConfig['namespace'];
type Configs = { readonly [N in Namespace]: Extract<AttesterConfig, { namespace: N }> };

/** How each namespace's attester is made; one line per namespace. */
const factories: { readonly [N in Namespace]: (config: Configs[N], clock: Clock) => Attester } = {
  'x-snp': snpAttester,
  'x-tdx': tdxAttester,
  'x-nv-gpu': nvGpuAttester,
  'x-tpm': tpmAttester,
  'x-az-cvm': azureCvmAttester,
  'x-az-aci': azureAciAttester,
};

/** The configuration of a participant's attesters: at most one per namespace. */
export const attestersConfigSchema = z.array(attesterConfigSchema).superRefine((configs, context) => {
  for (const [index, { namespace }] of configs.entries()) {
    if (configs.findIndex((other) => other.namespace === namespace) === index) continue;
    context.addIssue({
      code: 'custom',
      path: [index, 'namespace'],
      message: 'this namespace is listed twice',
    });
  }
});

/** Makes the attesters of a configuration. The time of each attempt is bounded; attempts on one device take turns. */
export function createAttesters(
  configs: readonly AttesterConfig[],
  clock: Clock = systemClock,
): readonly Attester[] {
  return configs.map((config) => withDeadline(make(config.namespace, config, clock), config.timeout, clock));
}

function make<N extends Namespace>(namespace: N, config: Configs[N], clock: Clock): Attester {
  return factories[namespace](config, clock);
}
