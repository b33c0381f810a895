import type { TokenRow } from './schema.js';
import { statement } from './statement.js';
import type { Transaction } from './store.js';

/** Every token, by participant and namespace. */
export function selectTokens(tx: Transaction): Promise<TokenRow[]> {
  return tx.selectFrom('tokens').selectAll().orderBy('participant').orderBy('namespace').execute();
}

/** Deletes the tokens of a participant. */
export async function deleteTokens(tx: Transaction, participant: string): Promise<void> {
  await tx.deleteFrom('tokens').where('participant', '=', participant).execute();
}

/** Adds a token, or puts it in the place of that of its participant and namespace. */
export async function putToken(tx: Transaction, row: TokenRow): Promise<void> {
  await upsertToken(tx, row);
}

const upsertToken = statement((tx, row: TokenRow) =>
  tx
    .insertInto('tokens')
    .values({
      participant: row.participant,
      namespace: row.namespace,
      jws: row.jws,
      issued_at: row.issued_at,
      expires_at: row.expires_at,
      appraised_at: row.appraised_at,
      appraisal: row.appraisal,
      ear: row.ear,
      evidence_digest: row.evidence_digest,
      endorsements: row.endorsements,
    })
    .onConflict((conflict) =>
      conflict.columns(['participant', 'namespace']).doUpdateSet((eb) => ({
        jws: eb.ref('excluded.jws'),
        issued_at: eb.ref('excluded.issued_at'),
        expires_at: eb.ref('excluded.expires_at'),
        appraised_at: eb.ref('excluded.appraised_at'),
        appraisal: eb.ref('excluded.appraisal'),
        ear: eb.ref('excluded.ear'),
        evidence_digest: eb.ref('excluded.evidence_digest'),
        endorsements: eb.ref('excluded.endorsements'),
      })),
    ),
);
