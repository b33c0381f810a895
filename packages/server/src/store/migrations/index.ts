import type { Migration } from 'kysely';
import { initial } from './0001-initial.js';
import { rotation } from './0002-rotation.js';
import { challengesInMemory } from './0003-challenges.js';
import { tpmKeys } from './0004-tpm-keys.js';
import { unfinishedCommands } from './0005-unfinished.js';

/** Every migration, in order. One that was released never changes; names sort by age. */
export const migrations: Readonly<Record<string, Migration>> = {
  '0001-initial': initial,
  '0002-rotation': rotation,
  '0003-challenges': challengesInMemory,
  '0004-tpm-keys': tpmKeys,
  '0005-unfinished': unfinishedCommands,
};
