import * as z from 'zod';
import { systemClock, type Clock } from '@muster/shared/clock.js';
import type { Attester } from './attester.js';
import { withDeadline } from './deadline.js';
import { snpAttester, snpOptions } from './x-snp/attester.js';

/** The configuration of one attester: its namespace decides which other keys there are. */
export const attesterConfigSchema = z.discriminatedUnion('namespace', [snpOptions]);

/** The configuration of one attester, with all defaults filled in. */
export type AttesterConfig = z.output<typeof attesterConfigSchema>;

/** How each namespace's attester is made; one line per namespace. */
const factories: {
  readonly [N in AttesterConfig['namespace']]: (
    config: Extract<AttesterConfig, { namespace: N }>,
    clock: Clock,
  ) => Attester;
} = {
  'x-snp': snpAttester,
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
  return configs.map((config) =>
    withDeadline(factories[config.namespace](config, clock), config.timeout, clock),
  );
}
