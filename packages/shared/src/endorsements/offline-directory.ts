import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EndorsementQuery } from '../evidence/appraisal.js';
import { readEndorsement, type EndorsementStore } from './endorsement.js';
import { deferral } from './resolve.js';

/** What a path at a vendor's service is made of; nothing that could leave the directory. */
const safePath = /^(?:[A-Za-z0-9_-]+\/)*[A-Za-z0-9_-]+(?:\?[A-Za-z0-9=&]+)?$/;

/**
 * A directory of endorsements for machines without a way to the vendors. It mirrors the vendors' URLs: the answer to
 * `https://kdsintf.amd.com/vcek/v1/Milan/crl` is in `<directory>/amd/vcek/v1/Milan/crl`, and a query is part of the file
 * name. A file that is there but cannot be read ends in ATTESTATION_DEFERRED.
 */
export function offlineDirectory(directory: string): EndorsementStore {
  return {
    async fetch(query, signal) {
      const bytes = await read(fileOf(directory, query), query, signal);
      if (bytes === undefined) return undefined;
      const endorsement = readEndorsement(query.kind, bytes);
      if (endorsement === undefined)
        throw deferral(query, 'the file in the offline directory is not readable');
      return endorsement;
    },
  };
}

function fileOf(directory: string, query: EndorsementQuery): string {
  if (!safePath.test(query.path)) throw deferral(query, 'its path is not one of a vendor');
  return join(directory, query.vendor, query.path);
}

async function read(
  file: string,
  query: EndorsementQuery,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file, signal === undefined ? {} : { signal });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw deferral(query, 'its file in the offline directory cannot be read', { cause });
  }
}
