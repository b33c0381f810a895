import { createHash } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Clock } from '@muster/shared/clock.js';
import { resolveFor, type EndorsementSource, type Resolution } from '@muster/shared/endorsements/resolve.js';
import type {
  Endorsements,
  Evidence,
  EvidenceVerifier,
  SimulatedRoot,
} from '@muster/shared/evidence/appraisal.js';
import { earClaims } from '@muster/shared/evidence/ear.js';
import { mergeEndorsements, noEndorsements } from '@muster/shared/evidence/endorsements.js';
import { verifiers } from '@muster/shared/evidence/verifiers.js';
import type { Policy } from '@muster/shared/policy/policy.js';
import type { Reason } from '@muster/shared/reasons.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import {
  appraiseParticipant,
  openTokens,
  type OpenedToken,
  type AppraisedToken,
  type ParticipantAppraisal,
} from '@muster/shared/tokens/appraise-tokens.js';
import { registryAudience } from '@muster/shared/tokens/attestation-token.js';
import type { RegisteredToken, Signer } from '../ports.js';
import { version } from '../version.js';
import { limiter } from './limiter.js';

/** How long the endorsements of one appraisal may take, ms; then the appraisal goes on without. */
const endorsementTimeoutMs = 10_000;
/** When an appraisal that lacked endorsements is tried again, unless the vendor said otherwise, ms. */
const retryMs = 15_000;
/** How many appraisals run at the same time. */
const concurrency = 8;

/** What appraisals work with. */
export interface AppraiserOptions {
  readonly policy: Policy;
  /** Names the policy in attestation results, for example `sha256:<hex>`. */
  readonly policyId: string;
  readonly simulatedRoots: readonly SimulatedRoot[];
  readonly endorsements: EndorsementSource;
  readonly signer: Signer;
  readonly clock: Clock;
  /** Every verifier of this release unless a test brings its own. */
  readonly verifiers?: readonly EvidenceVerifier[];
}

/** Tokens to appraise, and who presented them. */
export interface Presentation {
  readonly participant: { readonly name: string; readonly role: 'site' | 'server' };
  /** The key that must have signed them, SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly tokens: readonly string[];
  /** The nonce that must be answered; absent when the registry's own tokens are appraised anew. */
  readonly nonce?: Uint8Array;
  /** Endorsements that are at hand. */
  readonly atHand?: Endorsements;
}

/** SHA-256 of the evidence that was appraised, hex, by namespace. */
export type EvidenceDigests = Readonly<Record<string, string>>;

/** The server's verdict. A deferred one is no yes: an endorsement could not be had, and it may be tried again. */
export type Verdict =
  | { readonly outcome: 'accepted'; readonly tokens: readonly RegisteredToken[]; readonly expiresAt?: Date }
  | { readonly outcome: 'rejected'; readonly reasons: readonly Reason[]; readonly evidence: EvidenceDigests }
  | {
      readonly outcome: 'deferred';
      readonly reasons: readonly Reason[];
      readonly retryAfterMs: number;
      /** When the first of the tokens expires, and with it the sense of trying again. */
      readonly expiresAt: Date;
    };

/** Appraises tokens under the server's policy. */
export class Appraiser {
  readonly #options: AppraiserOptions;
  readonly #verifiers: readonly EvidenceVerifier[];
  readonly #limited = limiter(concurrency);

  constructor(options: AppraiserOptions) {
    this.#options = options;
    this.#verifiers = options.verifiers ?? verifiers;
  }

  /** Appraises a presentation, with fresh endorsements as far as they can be had in time. Never rejects for hostile tokens. */
  appraise(presentation: Presentation): Promise<Verdict> {
    return this.#limited(async () => {
      const tokens = await openTokens(presentation.tokens);
      const resolutions = await this.#resolve(tokens, presentation.atHand);
      const appraisal = await this.#decide(presentation, tokens, resolutions);
      if (!appraisal.proven) return refused(appraisal, [...resolutions.values()]);
      const registered = await Promise.all(
        appraisal.appraised.map((token) =>
          this.#register(presentation, token, resolutions.get(token.jws)?.endorsements),
        ),
      );
      const { expiresAt } = appraisal;
      return { outcome: 'accepted', tokens: registered, ...(expiresAt !== undefined && { expiresAt }) };
    });
  }

  /** What the verifiers want for each token that can be read, by token. */
  async #resolve(
    tokens: readonly OpenedToken[],
    atHand: Endorsements | undefined,
  ): Promise<ReadonlyMap<string, Resolution>> {
    const { clock, endorsements: source } = this.#options;
    const deadline = new AbortController();
    const timer = clock.schedule(endorsementTimeoutMs, () => deadline.abort());
    const options = { signal: deadline.signal, ...(atHand !== undefined && { atHand }) };
    try {
      const entries = await Promise.all(
        tokens.map(async (token): Promise<readonly [string, Resolution][]> => {
          if ('reason' in token) return [];
          const { evidence } = token.claims;
          const verifier = this.#verifiers.find(({ namespace }) => namespace === evidence.namespace);
          if (verifier === undefined) return [];
          return [[token.jws, await resolveFor(verifier, evidence, source, options)]];
        }),
      );
      return new Map(entries.flat());
    } finally {
      timer.cancel();
    }
  }

  #decide(
    { participant, publicKey, nonce }: Presentation,
    tokens: readonly OpenedToken[],
    resolutions: ReadonlyMap<string, Resolution>,
  ): Promise<ParticipantAppraisal> {
    const { policy, simulatedRoots, signer, clock } = this.#options;
    return appraiseParticipant({
      tokens,
      identity: { trustDomain: signer.trustDomain, ...participant },
      publicKey,
      ...(nonce !== undefined && { nonce }),
      audience: registryAudience(signer.trustDomain),
      policy,
      endorsements: mergeEndorsements(...[...resolutions.values()].map(({ endorsements }) => endorsements)),
      simulatedRoots,
      at: clock.now(),
      verifiers: this.#verifiers,
    });
  }

  async #register(
    { participant }: Presentation,
    { jws, claims, appraisal }: AppraisedToken,
    endorsements: Endorsements = noEndorsements,
  ): Promise<RegisteredToken> {
    const { signer, clock, policyId } = this.#options;
    const appraisedAt = clock.now();
    const result = earClaims([appraisal], {
      verifierId: { developer: 'muster', build: version },
      issuedAt: appraisedAt,
      policyId,
    });
    const ear = await new SignJWT({ ...result })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: signer.keyId })
      .setIssuer(signer.issuer)
      .setSubject(formatSpiffeId({ trustDomain: signer.trustDomain, ...participant }))
      .setExpirationTime(claims.expiresAt)
      .sign(signer.key);
    return {
      namespace: appraisal.namespace,
      jws,
      issuedAt: claims.issuedAt,
      expiresAt: claims.expiresAt,
      appraisedAt,
      appraisal,
      ear,
      evidenceDigest: digestOf(claims.evidence),
      endorsements,
    };
  }
}

/**
 * A refusal is deferred when an endorsement could not be had and nothing else is known against the participant: every
 * refused appraisal is one that lacked something.
 */
function refused({ reasons, appraised }: ParticipantAppraisal, resolutions: readonly Resolution[]): Verdict {
  const deferred = resolutions.flatMap((resolution) => resolution.deferred);
  const lacking = appraised.filter(({ appraisal }) => appraisal.status === 'none');
  const explained = reasons.every(({ namespace }) =>
    lacking.some(({ appraisal }) => appraisal.namespace === namespace),
  );
  if (deferred.length === 0 || lacking.length === 0 || !explained) {
    const evidence = appraised.map(({ claims }) => [claims.evidence.namespace, digestOf(claims.evidence)]);
    return { outcome: 'rejected', reasons, evidence: Object.fromEntries(evidence) as EvidenceDigests };
  }
  const waits = resolutions.flatMap(({ retryAfterMs }) => retryAfterMs ?? []);
  return {
    outcome: 'deferred',
    reasons: [...deferred, ...reasons],
    retryAfterMs: Math.max(retryMs, ...waits),
    expiresAt: new Date(Math.min(...appraised.map(({ claims }) => claims.expiresAt.getTime()))),
  };
}

function digestOf({ evidence }: Evidence): string {
  return createHash('sha256').update(evidence).digest('hex');
}
