import type { Answer } from '@muster/shared/endorsements/bundle/answer.js';
import { readDirectory } from '@muster/shared/endorsements/bundle/directory.js';
import type { EndorsementStore } from '@muster/shared/endorsements/endorsement.js';
import { offlineDirectory } from '@muster/shared/endorsements/offline-directory.js';
import { endorsementSource, queryKey, resolveFor } from '@muster/shared/endorsements/resolve.js';
import { vendorServices, type VendorUrls } from '@muster/shared/endorsements/vendor-services.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { fileProblem } from '@muster/shared/files.js';
import { readBytes, readCertificates, requireVerifier } from '../evidence/input.js';
import type { Clock } from '@muster/shared/clock.js';

/** Where endorsements come from, as it was typed. */
export interface CollectOptions {
  readonly from?: string;
  readonly for?: readonly string[];
  readonly namespace?: string;
  readonly cert?: readonly string[];
  readonly offline?: true;
}

/** How long fetching for one piece of evidence may take in all, ms. */
const fetchTimeMs = 60_000;

/**
 * Collects what a directory holds and what evidence needs; for evidence the directory is asked first, then the vendors'
 * services. Errors: FILE_UNREADABLE, ARGUMENT_INVALID, ATTESTATION_DEFERRED when something could not be had.
 */
export async function collectAnswers(
  options: CollectOptions,
  clock: Clock,
  urls: VendorUrls,
): Promise<readonly Answer[]> {
  const { from, for: files = [], namespace } = options;
  if (files.length === 0) {
    if (from === undefined) throw argument('--from', 'name a directory, or evidence by --for');
    return readAll(from);
  }
  if (namespace === undefined) throw argument('--namespace', 'say what kind of evidence it is');
  const stores = [
    ...(from === undefined ? [] : [offlineDirectory(from)]),
    ...(options.offline === true ? [] : [vendorServices(clock, urls)]),
  ];
  const answers = new Map<string, Answer>();
  for (const file of files)
    await fetchFor(file, namespace, options.cert, stores.map(recorded(answers)), clock);
  return [...answers.values()];
}

/** Reads an offline directory. Errors: FILE_UNREADABLE. */
export async function readAll(directory: string): Promise<readonly Answer[]> {
  try {
    return await readDirectory(directory);
  } catch (cause) {
    throw refusal(
      'FILE_UNREADABLE',
      { message: `${directory} cannot be read: ${fileProblem(cause)}.`, path: directory },
      cause,
    );
  }
}

async function fetchFor(
  file: string,
  namespace: string,
  cert: readonly string[] = [],
  stores: readonly EndorsementStore[],
  clock: Clock,
): Promise<void> {
  const evidence = { namespace, evidence: readBytes(file) };
  const atHand = { certificates: cert.flatMap(readCertificates), crls: [] };
  const deadline = new AbortController();
  const timer = clock.schedule(fetchTimeMs, () => deadline.abort());
  try {
    const { deferred } = await resolveFor(requireVerifier(namespace), evidence, endorsementSource(stores), {
      atHand,
      signal: deadline.signal,
    });
    const [first, ...rest] = deferred;
    if (first !== undefined) throw new MusterError([first, ...rest]);
  } finally {
    timer.cancel();
  }
}

/** A store that notes what it found. */
function recorded(answers: Map<string, Answer>): (store: EndorsementStore) => EndorsementStore {
  return (store) => ({
    async fetch(query, signal) {
      const found = await store.fetch(query, signal);
      if (found !== undefined) answers.set(queryKey(query), { query, found });
      return found;
    },
  });
}

function argument(path: string, why: string): MusterError {
  return refusal('ARGUMENT_INVALID', { message: `${path}: ${why}.`, path });
}
