import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { stageAnswer, type StagedAnswer } from '../disk-shelf.js';
import type { Endorsement } from '../endorsement.js';
import { offlineDirectory } from '../offline-directory.js';
import { queryOf, vendors } from '../paths.js';
import type { Answer } from './answer.js';

/** The answers in an offline directory; files that are none, or cannot be read, are left out. Errors: those of readdir. */
export async function readDirectory(directory: string): Promise<readonly Answer[]> {
  await readdir(directory);
  const store = offlineDirectory(directory);
  const answers: Answer[] = [];
  for (const vendor of vendors) {
    const base = join(directory, vendor);
    const files = await readdir(base, { recursive: true, withFileTypes: true }).catch(() => []);
    for (const file of files.filter((entry) => entry.isFile())) {
      const query = queryOf(vendor, relative(base, join(file.parentPath, file.name)).replaceAll(sep, '/'));
      const found = query && (await store.fetch(query).catch(() => undefined));
      if (query !== undefined && found !== undefined) answers.push({ query, found });
    }
  }
  return answers.toSorted((a, b) => (pathOf(a) < pathOf(b) ? -1 : 1));
}

/** What became of an answer: written, or left alone because what was there holds for longer. */
export type Placement = 'written' | 'kept';

/**
 * Puts answers into an offline directory, all of them or, where one cannot be written, none. One never takes the place of
 * another that expires later. Errors: those of the file system.
 */
export async function writeDirectory(
  directory: string,
  answers: readonly Answer[],
  at: Date,
): Promise<readonly Placement[]> {
  const store = offlineDirectory(directory);
  const placements: Placement[] = [];
  const staged: StagedAnswer[] = [];
  try {
    for (const { query, found } of answers) {
      const held: Endorsement | undefined = await store.fetch(query).catch(() => undefined);
      const isKept = held !== undefined && held.expiresAt > found.expiresAt;
      if (!isKept) staged.push(await stageAnswer(directory, query, found, at));
      placements.push(isKept ? 'kept' : 'written');
    }
    for (const answer of staged) await answer.commit();
    return placements;
  } finally {
    await Promise.all(staged.map((answer) => answer.discard()));
  }
}

function pathOf({ query: { vendor, path } }: Answer): string {
  return `${vendor}/${path}`;
}
