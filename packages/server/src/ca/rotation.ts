import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { trustBundleDigest } from '@muster/shared/pki/trust-bundle.js';
import { insertAuthority, selectAuthorities, updateAuthority } from '../store/authorities.js';
import { selectAcceptedCertificates } from '../store/certificates.js';
import { selectParticipants } from '../store/participants.js';
import type { AuthorityRow, CertificateRow } from '../store/schema.js';
import type { Store, Transaction } from '../store/store.js';
import { createRoot, openRoot } from './root.js';

/**
 * The steps of a rotation: `prepare` makes a CA that is trusted and issues nothing yet, `promote` lets it issue, `retire`
 * ends the trust in the one before it. Each is one transaction; servers and agents follow what the store says.
 */
export const rotationSteps = ['prepare', 'promote', 'retire'] as const;
export type RotationStep = (typeof rotationSteps)[number];

/** Where a rotation stands. */
export interface RotationProgress {
  /** `steady` when there is one CA; `prepared` when the next is trusted; `promoted` when it issues. */
  readonly stage: 'steady' | 'prepared' | 'promoted';
  /** Every CA that is trusted. */
  readonly authorities: readonly AuthorityRow[];
  /** Whom the next step would cut off, as `site/NAME` or `operator/NAME`. */
  readonly waiting: readonly string[];
}

/** The data directory and what belongs to it. */
export interface RotationContext {
  readonly store: Store;
  readonly dataDirectory: string;
  readonly trustDomain: string;
  readonly clock: Clock;
}

/** Which CA goes to which stage. Errors: CA_ROTATION_STEP, CA_ROTATION_WAITING. */
export function decideStep(
  step: RotationStep,
  { stage, authorities, waiting }: RotationProgress,
  force: boolean,
): readonly Pick<AuthorityRow, 'number' | 'stage'>[] {
  const needed = ({ prepare: 'steady', promote: 'prepared', retire: 'promoted' } as const)[step];
  if (stage !== needed) {
    throw refusal('CA_ROTATION_STEP', { message: `${step} is not possible: the CA is ${stage}.` });
  }
  if (waiting.length > 0 && !force) {
    throw refusal('CA_ROTATION_WAITING', { message: `Not ready: ${waiting.join(', ')}.` });
  }
  const numberOf = (wanted: AuthorityRow['stage']): number =>
    authorities.find((authority) => authority.stage === wanted)?.number ?? 0;
  switch (step) {
    case 'prepare':
      return [{ number: numberOf('active') + 1, stage: 'next' }];
    case 'promote':
      return [
        { number: numberOf('active'), stage: 'previous' },
        { number: numberOf('next'), stage: 'active' },
      ];
    case 'retire':
      return [{ number: numberOf('previous'), stage: 'retired' }];
    default:
      return step satisfies never;
  }
}

/** Where the rotation stands. `bundleDigest` names the CAs that are trusted now; see trustBundleDigest. */
export async function rotationProgress(
  tx: Transaction,
  bundleDigest: string,
  at: Date,
): Promise<RotationProgress> {
  const authorities = (await selectAuthorities(tx)).filter(({ stage }) => stage !== 'retired');
  const stages = new Set(authorities.map(({ stage }) => stage));
  if (stages.has('next')) {
    return { stage: 'prepared', authorities, waiting: await withoutBundle(tx, bundleDigest) };
  }
  if (!stages.has('previous')) return { stage: 'steady', authorities, waiting: [] };
  return { stage: 'promoted', authorities, waiting: await certifiedBefore(tx, authorities, at) };
}

/** Takes a step. Errors: as {@link decideStep}; those of {@link createRoot}. */
export async function takeStep(
  context: RotationContext,
  step: RotationStep,
  force: boolean,
  record: (tx: Transaction) => Promise<void>,
): Promise<void> {
  const { store, dataDirectory, trustDomain, clock } = context;
  const look = (tx: Transaction): Promise<RotationProgress> => progressOf(context, tx);
  // Outside the transaction, because it writes files: made twice, it is the same CA.
  for (const { number, stage } of decideStep(step, await store.transaction(look), force)) {
    if (stage === 'next') await createRoot(dataDirectory, number, trustDomain, clock);
  }
  await store.transaction(async (tx) => {
    for (const { number, stage } of decideStep(step, await look(tx), force)) {
      if (stage === 'next') await insertAuthority(tx, { number, stage, created_at: clock.now().getTime() });
      else await updateAuthority(tx, number, stage);
    }
    await record(tx);
  });
}

/** Where the rotation of a data directory stands. */
export async function progressOf(
  { dataDirectory, trustDomain, clock }: RotationContext,
  tx: Transaction,
): Promise<RotationProgress> {
  const trusted = (await selectAuthorities(tx)).filter(({ stage }) => stage !== 'retired');
  const roots = trusted.map(({ number }) => openRoot(dataDirectory, number, trustDomain).der);
  return rotationProgress(tx, trustBundleDigest(roots), clock.now());
}

/** The enrolled sites whose agents have not said that they trust every CA. */
async function withoutBundle(tx: Transaction, bundleDigest: string): Promise<readonly string[]> {
  const participants = await selectParticipants(tx);
  return participants
    .filter(({ role, enrolled_at }) => role === 'site' && enrolled_at !== null)
    .filter(({ trust_bundle }) => trust_bundle !== bundleDigest)
    .map(({ name }) => `site/${name}`);
}

/** Who has used no certificate of the CA that issues now, and one of the CA before it. */
async function certifiedBefore(
  tx: Transaction,
  authorities: readonly AuthorityRow[],
  at: Date,
): Promise<readonly string[]> {
  const previous = authorities.find(({ stage }) => stage === 'previous')?.number;
  const certificates = (await selectAcceptedCertificates(tx, at)).filter(({ role }) => role !== 'server');
  const holders = (certified: readonly CertificateRow[]): Set<string> =>
    new Set(certified.map(({ role, name }) => `${role}/${name}`));
  const moved = holders(
    certificates.filter((row) => row.authority !== previous && row.first_used_at !== null),
  );
  return [...holders(certificates.filter(({ authority }) => authority === previous))].filter(
    (holder) => !moved.has(holder),
  );
}
