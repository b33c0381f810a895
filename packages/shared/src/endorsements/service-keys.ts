import { MusterError } from '../errors.js';
import type { EvidenceVerifier, ServiceKeys } from '../evidence/appraisal.js';
import { issuersOf, type CommonPolicy } from '../evidence/service-token/policy.js';
import { namespacePolicy, ruleFor, type Policy } from '../policy/policy.js';
import type { Reason } from '../reasons.js';
import type { JwksCache } from './jwks-cache.js';

/** The keys that could be had, and ATTESTATION_DEFERRED for each service whose keys could not. */
export interface ServiceKeyResolution {
  readonly serviceKeys: readonly ServiceKeys[];
  readonly deferred: readonly Reason[];
}

/** Gets the keys of the services that a policy trusts and does not pin the keys of. Never rejects. */
export async function resolveServiceKeys(
  issuers: CommonPolicy['issuers'],
  cache: JwksCache,
): Promise<ServiceKeyResolution> {
  const wanted = issuers.flatMap(({ issuer, jwks, jwks_uri }) =>
    jwks === undefined && jwks_uri !== undefined ? [{ issuer, uri: jwks_uri }] : [],
  );
  const answers = await Promise.allSettled(
    wanted.map(async ({ issuer, uri }) => ({ issuer, keys: await cache.keysAt(uri) })),
  );
  return {
    serviceKeys: answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : [])),
    deferred: answers.flatMap((answer) =>
      answer.status === 'rejected' && answer.reason instanceof MusterError ? answer.reason.reasons : [],
    ),
  };
}

/**
 * Gets the keys of the services that a policy trusts for a participant's evidence of some namespaces, which is none where
 * no service may be asked. Never rejects.
 */
export async function resolveKeysFor(
  participant: { readonly role: 'site' | 'server'; readonly name: string },
  present: Iterable<EvidenceVerifier>,
  policy: Policy,
  cache: JwksCache | undefined,
): Promise<ServiceKeyResolution> {
  const rule = ruleFor(policy, participant);
  if (cache === undefined || rule === undefined) return { serviceKeys: [], deferred: [] };
  const issuers = [...new Set(present)].flatMap((verifier) =>
    issuersOf(namespacePolicy(policy, rule, verifier)),
  );
  return resolveServiceKeys(issuers, cache);
}
