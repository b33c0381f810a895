import type { Transaction as KyselyTransaction } from 'kysely';
import type { Schema } from './schema.js';

/** Queries and changes that happen together or not at all. */
export type Transaction = KyselyTransaction<Schema>;

/**
 * The server's memory. Queries live in this folder, one file per subject, and take a {@link Transaction}; nothing above
 * knows which database is below.
 */
export interface Store {
  /**
   * Runs work in one serialisable transaction; a rejection rolls back. What was registered with
   * `afterCommit` (after-commit.ts) runs after the commit, before this resolves.
   * Errors: STORE_FULL, STORE_CORRUPT, STORE_UNAVAILABLE.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
