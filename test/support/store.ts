import { storeOver } from '@muster/server/store/sqlite.js';
import type { Store } from '@muster/server/store/store.js';
import Database from 'libsql';

/** An empty store in memory, with the schema of the real one. */
export function memoryStore(): Promise<Store> {
  return storeOver(new Database(':memory:'));
}
