import { reason, type Reason } from '../../reasons.js';
import type { AppraisalInput, ServiceKeys } from '../appraisal.js';
import type { OpenBundle } from './bundle.js';
import { locate } from './devices.js';
import type { CommonPolicy } from './policy.js';
import { checkSignature, checkTimes, type ServiceClaims } from './token.js';

/** Whose tokens they must be. */
export interface ProofDemand {
  readonly algorithms: readonly string[];
  issuer?(claims: ServiceClaims): string | undefined;
}

interface NamedToken {
  /** The device; undefined for the machine's own. */
  readonly name: string | undefined;
  readonly token: string;
  readonly claims: ServiceClaims;
}

/**
 * Why the tokens are not proven to be the service's, now; empty when they are. At most one reason about the times and one
 * about the signatures, with the device as path where it is about one's token.
 */
export async function prove(
  service: ProofDemand,
  open: OpenBundle,
  { policy, at, serviceKeys = [] }: AppraisalInput<CommonPolicy>,
): Promise<readonly Reason[]> {
  const tokens = tokensOf(open);
  const issuerOf = ({ claims }: NamedToken): string | undefined => service.issuer?.(claims) ?? claims.iss;
  const issuer = issuerOf({ name: undefined, token: '', claims: open.main });
  const trusted = policy.issuers.find((candidate) => candidate.issuer === issuer);
  if (trusted === undefined) return [reason('SERVICE_ISSUER_UNTRUSTED')];
  const foreign = firstOf(tokens, (token) =>
    issuerOf(token) === issuer ? undefined : reason('SERVICE_ISSUER_UNTRUSTED'),
  );
  if (foreign.length > 0) return foreign;
  const late = firstOf(tokens, ({ claims }) => checkTimes(claims, at, policy.maximum_age));

  const isFetched = (candidate: ServiceKeys): boolean => candidate.issuer === issuer;
  const sets = [trusted.jwks, serviceKeys.find(isFetched)?.keys].filter((set) => set !== undefined);
  if (sets.every(({ keys }) => keys.length === 0)) return [...late, reason('SERVICE_KEY_MISSING')];
  const checked = await Promise.all(
    tokens.map(
      async (entry) => [entry, await checkSignature(entry.token, sets, service.algorithms)] as const,
    ),
  );
  const failures = new Map(checked);
  return [...late, ...firstOf(tokens, (entry) => failures.get(entry))];
}

function tokensOf({ main, devices, bundle }: OpenBundle): readonly NamedToken[] {
  return [
    { name: undefined, token: bundle.main, claims: main },
    ...[...devices].map(([name, claims]) => ({ name, token: bundle.devices?.get(name) ?? '', claims })),
  ];
}

function firstOf(
  tokens: readonly NamedToken[],
  check: (token: NamedToken) => Reason | undefined,
): readonly Reason[] {
  for (const token of tokens) {
    const found = check(token);
    if (found !== undefined) return [token.name === undefined ? found : locate(token.name, found)];
  }
  return [];
}
