import type { Clock } from '@muster/shared/clock.js';
import type { JwksCache } from '@muster/shared/endorsements/jwks-cache.js';
import { resolveFor, type EndorsementSource } from '@muster/shared/endorsements/resolve.js';
import { resolveKeysFor } from '@muster/shared/endorsements/service-keys.js';
import type { Endorsements, EvidenceVerifier, SimulatedRoot } from '@muster/shared/evidence/appraisal.js';
import { knownDocuments } from '@muster/shared/evidence/endorsements.js';
import type { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';
import type { Policy } from '@muster/shared/policy/policy.js';
import type { Identity } from '@muster/shared/spiffe.js';
import {
  appraiseParticipant,
  openTokens,
  type OpenedToken,
  type ParticipantAppraisal,
} from '@muster/shared/tokens/appraise-tokens.js';

/** What this site judges other participants by. */
export interface AppraiserOptions {
  /** This site's own policy, not the server's. */
  readonly policy: Policy;
  readonly simulatedRoots: readonly SimulatedRoot[];
  /** Where endorsements are that did not come with the tokens. */
  readonly source: EndorsementSource;
  /** The keys of attestation services, which no server can deliver; absent where this site may ask none. */
  readonly keys?: JwksCache | undefined;
  readonly verifiers: readonly EvidenceVerifier[];
  /** The certificates of the federation's CAs that this site trusts, DER, at this moment. */
  readonly trustBundle: () => readonly Uint8Array[];
  readonly clock: Clock;
}

/** Whom tokens must speak for, and what they must answer. */
export interface Expectation {
  readonly identity: Identity & { readonly role: 'site' | 'server' };
  readonly audience: string;
  /** Known only of tokens that answer this site. */
  readonly nonce?: Uint8Array;
  /** Known only of the peer of a connection. */
  readonly publicKey?: Uint8Array;
}

/** Appraises what a participant presents; undefined tokens are judged as none. Never throws on hostile tokens. */
export type Appraiser = (
  presented: ParticipantTokens | undefined,
  expectation: Expectation,
) => Promise<ParticipantAppraisal>;

/** Makes the appraiser of a site. */
export function createAppraiser(options: AppraiserOptions): Appraiser {
  const { policy, simulatedRoots, verifiers, trustBundle, clock } = options;
  return async (presented, expectation) => {
    const tokens = openTokens(presented?.tokens.map(({ jws }) => jws) ?? []);
    const delivered = {
      certificates: presented?.endorsements?.certificates ?? [],
      crls: presented?.endorsements?.crls ?? [],
      documents: knownDocuments(presented?.endorsements?.documents ?? []),
    };
    const present = tokens.flatMap((token) => verifierOf(token, verifiers) ?? []);
    const [endorsements, { serviceKeys }] = await Promise.all([
      withLocal(tokens, delivered, options),
      resolveKeysFor(expectation.identity, present, policy, options.keys),
    ]);
    return appraiseParticipant({
      ...expectation,
      tokens,
      policy,
      endorsements,
      simulatedRoots,
      serviceKeys,
      trustBundle: trustBundle(),
      verifiers,
      at: clock.now(),
    });
  };
}

/** Adds to the endorsements that came with tokens those that this site has. */
async function withLocal(
  tokens: readonly OpenedToken[],
  delivered: Endorsements,
  { source, verifiers }: Pick<AppraiserOptions, 'source' | 'verifiers'>,
): Promise<Endorsements> {
  let endorsements = delivered;
  for (const token of tokens) {
    const verifier = verifierOf(token, verifiers);
    if ('reason' in token || verifier === undefined) continue;
    const { evidence } = token.claims;
    ({ endorsements } = await resolveFor(verifier, evidence, source, { atHand: endorsements }));
  }
  return endorsements;
}

function verifierOf(
  token: OpenedToken,
  verifiers: readonly EvidenceVerifier[],
): EvidenceVerifier | undefined {
  if ('reason' in token) return undefined;
  return verifiers.find(({ namespace }) => namespace === token.claims.evidence.namespace);
}
