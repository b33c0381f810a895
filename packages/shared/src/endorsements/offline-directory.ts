import { readFile } from 'node:fs/promises';
import type { EndorsementQuery } from '../evidence/appraisal.js';
import { splitCertificates } from '../evidence/x509.js';
import { readEndorsement, type EndorsementStore } from './endorsement.js';
import { fileOf, issuerChainSuffix } from './paths.js';
import { deferral } from './resolve.js';

/**
 * A directory of endorsements for machines without a way to the vendors. It mirrors the vendors' URLs: the answer to
 * `https://kdsintf.amd.com/vcek/v1/Milan/crl` is in `<directory>/amd/vcek/v1/Milan/crl`, and a query is part of the file
 * name. Where a vendor sends the certificates of the signer in a header, they are in PEM in a file beside the answer, with
 * `.issuer-chain` after its name. A file that is there but cannot be read ends in ATTESTATION_DEFERRED.
 */
export function offlineDirectory(directory: string): EndorsementStore {
  return {
    async fetch(query, signal) {
      const file = fileOf(directory, query);
      if (file === undefined) throw deferral(query, 'its path is not one of a vendor');
      const bytes = await read(file, query, signal);
      if (bytes === undefined) return undefined;
      const chain = await read(`${file}${issuerChainSuffix}`, query, signal);
      const issuers = chain === undefined ? [] : splitCertificates(chain);
      const endorsement = readEndorsement(query.kind, bytes);
      if (endorsement === undefined || issuers === undefined)
        throw deferral(query, 'the file in the offline directory is not readable');
      return issuers.length === 0 ? endorsement : { ...endorsement, issuers };
    },
  };
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
