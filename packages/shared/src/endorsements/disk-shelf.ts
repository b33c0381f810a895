import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { Clock } from '../clock.js';
import type { EndorsementQuery } from '../evidence/appraisal.js';
import type { Shelf } from './cache.js';
import { writeCertificates, writeEndorsement, type Endorsement } from './endorsement.js';
import { offlineDirectory } from './offline-directory.js';
import { fileOf, issuerChainSuffix } from './paths.js';

/** What a shelf works with. */
export interface DiskShelfOptions {
  readonly clock: Clock;
  /** Answers; the oldest make room. */
  readonly maxFiles?: number;
  /** Is told what went wrong; the cache goes on without. */
  readonly onError?: (error: unknown) => void;
}

/** What ends the names of files that are not whole yet. */
const partSuffix = '.part';

/**
 * Keeps a cache's answers in a directory, in the layout of {@link offlineDirectory}: it can be handed to a machine
 * without a network as it is. The time of a file is when its answer was given.
 */
export function diskShelf(directory: string, options: DiskShelfOptions): Shelf {
  const { clock, maxFiles = 1024, onError = () => undefined } = options;
  const files = offlineDirectory(directory);
  let room: number | undefined;

  async function makeRoom(): Promise<void> {
    room ??= await prune(directory, maxFiles);
    if (room <= 0) room = await prune(directory, Math.floor(maxFiles * 0.9));
    room -= 1;
  }

  return {
    async read(query) {
      try {
        const file = fileOf(directory, query);
        const found = await files.fetch(query);
        if (found === undefined || file === undefined) return undefined;
        return { found, storedAt: (await stat(file)).mtime };
      } catch (error) {
        onError(error);
        return undefined;
      }
    },
    async write(query, found) {
      try {
        await makeRoom();
        await writeAnswer(directory, query, found, clock.now());
      } catch (error) {
        onError(error);
      }
    },
  };
}

/** An answer that is written beside its place, and not in it yet. */
export interface StagedAnswer {
  /** Puts it in its place; each file appears whole. */
  commit(): Promise<void>;
  /** Takes away what is not in its place. */
  discard(): Promise<void>;
}

/** Writes an answer where {@link offlineDirectory} looks for it. Errors: those of the file system. */
export async function writeAnswer(...answer: Parameters<typeof stageAnswer>): Promise<void> {
  const staged = await stageAnswer(...answer);
  try {
    await staged.commit();
  } finally {
    await staged.discard();
  }
}

/** Writes an answer beside the place where {@link offlineDirectory} looks for it. Errors: those of the file system. */
export async function stageAnswer(
  directory: string,
  query: EndorsementQuery,
  { issuers = [], ...found }: Endorsement,
  at: Date,
): Promise<StagedAnswer> {
  const file = fileOf(directory, query);
  if (file === undefined) throw new Error(`${query.path} is not a path of a vendor.`);
  await mkdir(dirname(file), { recursive: true });
  const chain = `${file}${issuerChainSuffix}`;
  const chainPart = issuers.length > 0 ? await stage(chain, writeCertificates(issuers), at) : undefined;
  const discardChain = async (): Promise<void> => {
    if (chainPart !== undefined) await rm(chainPart, { force: true });
  };
  const part = await stage(file, writeEndorsement(query.kind, found), at).catch(async (error: unknown) => {
    await discardChain();
    throw error;
  });
  return {
    async commit() {
      if (chainPart === undefined) await rm(chain, { force: true });
      else await rename(chainPart, chain);
      await rename(part, file);
    },
    async discard() {
      await discardChain();
      await rm(part, { force: true });
    },
  };
}

/** Writes a file beside its place; returns where. */
async function stage(file: string, content: Uint8Array, at: Date): Promise<string> {
  const part = join(dirname(file), `${randomUUID()}${partSuffix}`);
  try {
    await writeFile(part, content, { flag: 'wx', mode: 0o644 });
    await utimes(part, at, at);
    return part;
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

/** Removes what is not whole and the oldest answers beyond a number; returns how many more have room up to it. */
async function prune(directory: string, maxFiles: number): Promise<number> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  const all = names.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const parts = all.filter((file) => file.endsWith(partSuffix));
  const answers = all.filter((file) => !file.endsWith(partSuffix) && !file.endsWith(issuerChainSuffix));
  const dated = await Promise.all(answers.map(async (file) => ({ file, at: (await stat(file)).mtimeMs })));
  const excess = dated.toSorted((a, b) => a.at - b.at).slice(0, Math.max(0, answers.length - maxFiles));
  const doomed = [...parts, ...excess.flatMap(({ file }) => [file, `${file}${issuerChainSuffix}`])];
  await Promise.all(doomed.map((file) => rm(file, { force: true })));
  return maxFiles - (answers.length - excess.length);
}
