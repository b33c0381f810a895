import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import type { Attester } from './attester.js';

/** What became of one attester in a round. */
export interface Collected {
  readonly namespace: string;
  readonly outcome: PromiseSettledResult<Evidence>;
}

/**
 * Collects from several attesters for the same report data, in the order in which they are given: at once, but those that
 * bind to others after these and with their evidence. Never rejects.
 */
export async function collectRound(
  attesters: readonly Attester[],
  reportData: Uint8Array,
): Promise<readonly Collected[]> {
  const first = await collectAll(
    attesters.filter(({ bindsToOthers = false }) => !bindsToOthers),
    reportData,
    [],
  );
  const related = first.flatMap(({ outcome }) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const second = await collectAll(
    attesters.filter(({ bindsToOthers = false }) => bindsToOthers),
    reportData,
    related,
  );
  const position = ({ namespace }: Collected): number =>
    attesters.findIndex((attester) => attester.namespace === namespace);
  return [...first, ...second].toSorted((one, other) => position(one) - position(other));
}

async function collectAll(
  attesters: readonly Attester[],
  reportData: Uint8Array,
  related: readonly Evidence[],
): Promise<readonly Collected[]> {
  const outcomes = await Promise.allSettled(
    attesters.map((attester) => attester.collect(reportData, { related })),
  );
  return outcomes.map((outcome, index) => ({ namespace: attesters[index]?.namespace ?? '', outcome }));
}
