import { deleteExpiredJoinTokens, insertJoinToken } from '../store/join-tokens.js';
import type { JoinTokenRow } from '../store/schema.js';
import type { Transaction } from '../store/store.js';
import { createJoinToken, joinTokenHash } from './join-token.js';

/** How long an expired token stays on record, for its holder to learn that it expired, ms. */
const keptMs = 7 * 86_400_000;

/** Makes a token for a participant. The token itself is nowhere but in the answer. */
export async function issueJoinToken(
  tx: Transaction,
  kind: JoinTokenRow['kind'],
  participant: string,
  lifetimeMs: number,
  at: Date,
): Promise<{ readonly token: string; readonly expiresAt: Date }> {
  const token = createJoinToken(kind);
  const expiresAt = new Date(at.getTime() + lifetimeMs);
  await deleteExpiredJoinTokens(tx, new Date(at.getTime() - keptMs));
  await insertJoinToken(tx, {
    hash: joinTokenHash(token),
    participant,
    kind,
    expires_at: expiresAt.getTime(),
  });
  return { token, expiresAt };
}
