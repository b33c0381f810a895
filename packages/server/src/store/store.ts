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
   * Runs work in one serialisable transaction, one at a time; a rejection rolls back. Resolves when what was written is
   * on the disk. after-commit.ts has the effects that follow a commit. Urgent ones, which take permission back, begin
   * before all others that wait.
   * Errors: STORE_FULL, STORE_CORRUPT, STORE_UNAVAILABLE.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>, options?: { readonly urgent?: boolean }): Promise<T>;
  /** Resolves when nothing urgent is under way, its effects included: for work that takes long and can wait. */
  calm(): Promise<void>;
  close(): Promise<void>;
}
