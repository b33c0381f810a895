import { sql } from 'kysely';
import { refusal } from '@muster/shared/errors.js';
import { revokeCertificates } from './certificates.js';
import { each } from './each.js';
import type { ParticipantRow } from './schema.js';
import { statement } from './statement.js';
import type { Transaction } from './store.js';

/** Every participant, by name. */
export function selectParticipants(tx: Transaction): Promise<ParticipantRow[]> {
  return tx.selectFrom('participants').selectAll().orderBy('name').execute();
}

/** One participant; undefined when there is none of that name. */
export async function selectParticipant(tx: Transaction, name: string): Promise<ParticipantRow | undefined> {
  const { rows } = await selectByName(tx, { name });
  return rows[0];
}

const selectByName = statement((tx, { name }: { name: string }) =>
  tx.selectFrom('participants').selectAll().where('name', '=', name),
);

/** Adds a participant that nothing is known of yet; false when the name is taken. */
export async function insertParticipant(
  tx: Transaction,
  row: Pick<ParticipantRow, 'name' | 'role' | 'invited_at'>,
): Promise<boolean> {
  const fresh: ParticipantRow = {
    ...row,
    public_key: null,
    enrolled_at: null,
    quarantine: null,
    last_reasons: '[]',
    epoch: 0,
    boot_id: null,
    last_seen_at: null,
    agent_version: '',
    last_seq: 0,
    finished_seq: 0,
    trust_bundle: '',
  };
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('participants')
    .values(fresh)
    .onConflict((conflict) => conflict.column('name').doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

/** Changes a participant; false when there is none of that name. */
export async function updateParticipant(
  tx: Transaction,
  name: string,
  change: Partial<Omit<ParticipantRow, 'name' | 'role'>>,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('participants')
    .set(change)
    .where('name', '=', name)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Whether a session of this epoch is still the participant's newest: the condition of every write of a session. */
export async function isCurrentEpoch(tx: Transaction, name: string, epoch: number): Promise<boolean> {
  const { rows } = await selectEpoch(tx, { name });
  return rows[0]?.epoch === epoch;
}

const selectEpoch = statement((tx, { name }: { name: string }) =>
  tx.selectFrom('participants').select('epoch').where('name', '=', name),
);

/** Requires that a session is still the participant's newest. Errors: SESSION_FENCED. */
export async function requireCurrentEpoch(tx: Transaction, name: string, epoch: number): Promise<void> {
  if (!(await isCurrentEpoch(tx, name, epoch))) throw refusal('SESSION_FENCED', { participant: name });
}

/** When a participant was seen last, in the session of an epoch; ms since 1970. */
export interface Seen {
  readonly name: string;
  readonly epoch: number;
  readonly at: number;
}

/** Records when participants were seen, those whose session is still their newest. */
export async function recordSeen(tx: Transaction, seen: readonly Seen[]): Promise<void> {
  await updateSeen(tx, { list: JSON.stringify(seen.map(({ name, epoch, at }) => [name, epoch, at])) });
}

const updateSeen = statement((tx, { list }: { list: string }) =>
  tx
    .updateTable('participants')
    .from(each(list).as('entry'))
    .set({ last_seen_at: sql<number>`entry.value ->> 2` })
    .where('name', '=', sql<string>`entry.value ->> 0`)
    .where('epoch', '=', sql<number>`entry.value ->> 1`),
);

/** Takes the next sequence number of the commands of each participant; those without one are not there. */
export async function takeSequenceNumbers(
  tx: Transaction,
  names: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const { rows } = await incrementSequences(tx, { names: JSON.stringify(names) });
  return new Map(rows.map(({ name, last_seq }) => [name, last_seq]));
}

const incrementSequences = statement((tx, { names }: { names: string }) =>
  tx
    .updateTable('participants')
    .set((eb) => ({ last_seq: eb('last_seq', '+', 1) }))
    .where('name', 'in', (eb) => eb.selectFrom(each(names).as('entry')).select('value'))
    .returning(['name', 'last_seq']),
);

/** Deletes a participant with its tokens, proven keys, commands and unused join tokens, and revokes its certificates. */
export async function deleteParticipant(tx: Transaction, name: string, at: number): Promise<boolean> {
  for (const table of ['tokens', 'tpm_keys', 'commands', 'join_tokens'] as const) {
    await tx.deleteFrom(table).where('participant', '=', name).execute();
  }
  await revokeCertificates(tx, { role: 'site', name }, at);
  const { numDeletedRows } = await tx.deleteFrom('participants').where('name', '=', name).executeTakeFirst();
  return numDeletedRows === 1n;
}
