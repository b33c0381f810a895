import type { Clock } from '@muster/shared/clock.js';
import type { EndorsementStore } from '@muster/shared/endorsements/endorsement.js';
import { jwksCache } from '@muster/shared/endorsements/jwks-cache.js';
import { offlineDirectory } from '@muster/shared/endorsements/offline-directory.js';
import { endorsementSource, resolveFor } from '@muster/shared/endorsements/resolve.js';
import { noEndorsements } from '@muster/shared/evidence/endorsements.js';
import { resolveServiceKeys } from '@muster/shared/endorsements/service-keys.js';
import { vendorServices, type VendorUrls } from '@muster/shared/endorsements/vendor-services.js';
import { refusal } from '@muster/shared/errors.js';
import type {
  Appraisal,
  EndorsementQuery,
  Endorsements,
  Evidence,
  EvidenceVerifier,
} from '@muster/shared/evidence/appraisal.js';
import { issuersOf } from '@muster/shared/evidence/service-token/policy.js';
import { readCollateral, readManifests } from './collateral.js';
import { parseTime, readBinding, readPolicy, requireVerifier } from './input.js';
import { readSubject, type SubjectOptions } from './subject.js';

/** The options of a command that appraises evidence from files, as they were typed. */
export interface AppraiseOptions extends SubjectOptions {
  readonly namespace: string;
  readonly collateral?: string;
  readonly rim?: readonly string[];
  readonly nonce?: string;
  readonly at?: string;
  readonly offline?: true;
  readonly endorsements?: string;
  readonly simulatedRoot?: readonly string[];
}

/** The options of `muster evidence verify`. */
export interface VerifyOptions extends AppraiseOptions {
  readonly policy?: string;
}

/** How long fetching of endorsements may take in all, ms. */
const fetchTimeMs = 5_000;

/** Appraises evidence from files. Errors: as {@link appraiseFiles}; POLICY_INVALID. */
export async function verifyEvidence(
  options: VerifyOptions,
  clock: Clock,
  urls: VendorUrls = {},
): Promise<Appraisal> {
  const verifier = requireVerifier(options.namespace);
  return appraiseFiles(verifier, readPolicy(verifier, options.policy), options, clock, urls);
}

/**
 * Appraises evidence from files under a policy of its namespace. What is missing is looked for in the directory of
 * `--endorsements` and, unless `--offline`, at the vendors' services, for a few seconds at most; what then is still missing
 * shows in the result. Errors: FILE_UNREADABLE, ARGUMENT_INVALID.
 */
export async function appraiseFiles(
  verifier: EvidenceVerifier,
  namespacePolicy: unknown,
  options: AppraiseOptions,
  clock: Clock,
  urls: VendorUrls,
): Promise<Appraisal> {
  const { certificates, policy, ...subject } = readSubject(verifier, namespacePolicy, options);
  const evidence = { namespace: verifier.namespace, evidence: subject.evidence };
  const collateral =
    options.collateral === undefined
      ? noEndorsements
      : readCollateral(verifier.namespace, options.collateral);
  const atHand = {
    ...collateral,
    certificates: [...certificates, ...collateral.certificates],
    documents: [...(collateral.documents ?? []), ...readManifests(verifier.namespace, options.rim)],
  };
  const at = options.at === undefined ? clock.now() : parseTime(options.at);
  const simulatedRoots = (options.simulatedRoot ?? []).map((fingerprint) => ({
    namespace: verifier.namespace,
    fingerprint: parseFingerprint(fingerprint),
  }));

  const stores: EndorsementStore[] = [
    ...(options.endorsements === undefined ? [] : [offlineDirectory(options.endorsements)]),
    ...(options.offline === true ? [] : [vendorServices(clock, urls)]),
  ];
  const { serviceKeys, deferred: deferredKeys } =
    subject.serviceKeys === undefined && options.offline !== true
      ? await resolveServiceKeys(issuersOf(policy), jwksCache({ clock, timeoutMs: fetchTimeMs }))
      : { serviceKeys: subject.serviceKeys ?? [], deferred: [] };
  const { endorsements, deferred } = await resolve(verifier, evidence, atHand, stores, {
    clock,
    isForNow: options.at === undefined,
  });
  const appraisal = await verifier.appraise({
    evidence,
    endorsements,
    policy,
    at,
    simulatedRoots,
    serviceKeys,
    ...readBinding(verifier.namespace, options.nonce),
  });
  return appraisal.status === 'none'
    ? { ...appraisal, reasons: [...appraisal.reasons, ...deferred, ...deferredKeys] }
    : appraisal;
}

/** What Intel or AMD say of the present day, such as revocations, is fetched only to verify at the present time. */
async function resolve(
  verifier: EvidenceVerifier,
  evidence: Evidence,
  atHand: Endorsements,
  stores: readonly EndorsementStore[],
  { clock, isForNow }: { readonly clock: Clock; readonly isForNow: boolean },
): ReturnType<typeof resolveFor> {
  const wanted: Pick<EvidenceVerifier, 'endorsementQueries'> = {
    endorsementQueries: async (...input) => {
      const queries = await verifier.endorsementQueries(...input);
      return queries.filter(({ kind }) => isForNow || !isOfTheDay(kind));
    },
  };
  const deadline = new AbortController();
  const timer = clock.schedule(fetchTimeMs, () => deadline.abort());
  try {
    const source = endorsementSource(stores);
    return await resolveFor(wanted, evidence, source, { atHand, signal: deadline.signal });
  } finally {
    timer.cancel();
  }
}

function isOfTheDay(kind: EndorsementQuery['kind']): boolean {
  return kind !== 'certificates' && kind !== 'nvidia-rim';
}

/** Reads a value of `--simulated-root`. Errors: ARGUMENT_INVALID. */
export function parseFingerprint(text: string): string {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return text.toLowerCase();
  throw refusal('ARGUMENT_INVALID', {
    message: "--simulated-root: expected the SHA-256 of the root's public key in hex.",
    path: '--simulated-root',
  });
}
