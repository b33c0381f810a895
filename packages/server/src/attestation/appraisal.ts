import { createHash } from 'node:crypto';
import type { Clock } from '@muster/shared/clock.js';
import type { JwksCache } from '@muster/shared/endorsements/jwks-cache.js';
import {
  resolveFor,
  type EndorsementSource,
  type EvidenceResolution,
  type Resolution,
} from '@muster/shared/endorsements/resolve.js';
import { resolveKeysFor, type ServiceKeyResolution } from '@muster/shared/endorsements/service-keys.js';
import type {
  Endorsements,
  Evidence,
  EvidenceVerifier,
  SimulatedRoot,
} from '@muster/shared/evidence/appraisal.js';
import { earClaims } from '@muster/shared/evidence/ear.js';
import { mergeEndorsements, noEndorsements } from '@muster/shared/evidence/endorsements.js';
import { verifiers } from '@muster/shared/evidence/verifiers.js';
import { Pace } from '@muster/shared/pace.js';
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
import { signJws } from '@muster/shared/tokens/jws.js';
import type { RegisteredToken, Signer } from '../ports.js';
import { version } from '../version.js';
import { limiter } from './limiter.js';

/** How long the endorsements of one appraisal may take, ms; then the appraisal goes on without. */
const endorsementTimeoutMs = 10_000;
/** When an appraisal that lacked endorsements is tried again, unless the vendor said otherwise, ms. */
const retryMs = 15_000;
/**
 * How many appraisals are decided at the same time; waiting for a vendor's service takes no place of another. Their
 * signatures are verified on the threads that serve the disk too, of which there are four: one stays free for it.
 */
const concurrency = 3;

/** What appraisals work with. */
export interface AppraiserOptions {
  readonly policy: Policy;
  /** Names the policy in attestation results, for example `sha256:<hex>`. */
  readonly policyId: string;
  readonly simulatedRoots: readonly SimulatedRoot[];
  readonly endorsements: EndorsementSource;
  /** The keys of attestation services; absent where none may be asked. */
  readonly keys?: JwksCache;
  /** What this server itself has found out about a participant's keys, and vouches for; undefined for nothing. */
  readonly vouch?: (participant: string) => Promise<Endorsements | undefined>;
  /** The certificates of the federation's CAs, DER, at this moment. */
  readonly trustBundle: () => readonly Uint8Array[];
  /** Is told the outcome of every appraisal, for each namespace in it. */
  readonly observe?: (namespace: string, outcome: Verdict['outcome']) => void;
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
  readonly #pace = new Pace();

  constructor(options: AppraiserOptions) {
    this.#options = options;
    this.#verifiers = options.verifiers ?? verifiers;
  }

  /** Appraises a presentation, with fresh endorsements as far as they can be had in time. Never rejects for hostile tokens. */
  async appraise(presentation: Presentation): Promise<Verdict> {
    const { policy, keys } = this.#options;
    const tokens = await this.#step(() => openTokens(presentation.tokens));
    const present = tokens.flatMap((token) => this.#verifierOf(token) ?? []);
    const [resolutions, serviceKeys] = await Promise.all([
      this.#resolve(tokens, await this.#atHand(presentation)),
      resolveKeysFor(presentation.participant, present, policy, keys),
    ]);
    const verdict = await this.#step(() => this.#judge(presentation, tokens, resolutions, serviceKeys));
    this.#observe(tokens, verdict);
    return verdict;
  }

  /** Runs a part of an appraisal when there is room for it, however many answers come at the same moment. */
  #step<T>(work: () => T | Promise<T>): Promise<T> {
    return this.#limited(async () => {
      await this.#pace.step();
      return work();
    });
  }

  async #atHand({ participant, atHand = noEndorsements }: Presentation): Promise<Endorsements> {
    const vouched = await this.#options.vouch?.(participant.name);
    return vouched === undefined ? atHand : mergeEndorsements(atHand, vouched);
  }

  async #judge(
    presentation: Presentation,
    tokens: readonly OpenedToken[],
    resolutions: ReadonlyMap<string, EvidenceResolution>,
    keys: ServiceKeyResolution,
  ): Promise<Verdict> {
    const appraisal = await this.#decide(presentation, tokens, resolutions, keys);
    if (!appraisal.proven) {
      this.#doubt(appraisal, resolutions);
      return refused(appraisal, [...resolutions.values()], keys.deferred);
    }
    const registered = appraisal.appraised.map((token) =>
      this.#register(presentation, token, resolutions.get(token.jws)?.endorsements),
    );
    const { expiresAt } = appraisal;
    return { outcome: 'accepted', tokens: registered, ...(expiresAt !== undefined && { expiresAt }) };
  }

  /** What evidence was refused with may be wrong itself: it was readable when it came, and nothing more. */
  #doubt({ appraised }: ParticipantAppraisal, resolutions: ReadonlyMap<string, EvidenceResolution>): void {
    const refusedTokens = appraised.filter(({ appraisal }) => appraisal.status !== 'affirming');
    const asked = refusedTokens.flatMap(({ jws }) => resolutions.get(jws)?.asked ?? []);
    this.#options.endorsements.doubt(asked);
  }

  #verifierOf(token: OpenedToken): EvidenceVerifier | undefined {
    if ('reason' in token) return undefined;
    return this.#verifiers.find(({ namespace }) => namespace === token.claims.evidence.namespace);
  }

  /** Tells of the namespaces that a verifier knows: others are whatever a participant writes. */
  #observe(tokens: readonly OpenedToken[], { outcome }: Verdict): void {
    const known = tokens.flatMap((token) => this.#verifierOf(token)?.namespace ?? []);
    for (const namespace of known.length > 0 ? new Set(known) : ['none']) {
      this.#options.observe?.(namespace, outcome);
    }
  }

  /** What the verifiers want for each token that can be read, by token. */
  async #resolve(
    tokens: readonly OpenedToken[],
    atHand: Endorsements,
  ): Promise<ReadonlyMap<string, EvidenceResolution>> {
    const { clock, endorsements: source } = this.#options;
    const deadline = new AbortController();
    const timer = clock.schedule(endorsementTimeoutMs, () => deadline.abort());
    const options = { signal: deadline.signal, atHand };
    try {
      const entries = await Promise.all(
        tokens.map(async (token): Promise<readonly [string, EvidenceResolution][]> => {
          const verifier = this.#verifierOf(token);
          if ('reason' in token || verifier === undefined) return [];
          return [[token.jws, await resolveFor(verifier, token.claims.evidence, source, options)]];
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
    resolutions: ReadonlyMap<string, EvidenceResolution>,
    { serviceKeys }: ServiceKeyResolution,
  ): Promise<ParticipantAppraisal> {
    const { policy, simulatedRoots, signer, clock, trustBundle } = this.#options;
    return appraiseParticipant({
      tokens,
      identity: { trustDomain: signer.trustDomain, ...participant },
      publicKey,
      ...(nonce !== undefined && { nonce }),
      audience: registryAudience(signer.trustDomain),
      policy,
      endorsements: mergeEndorsements(...[...resolutions.values()].map(({ endorsements }) => endorsements)),
      simulatedRoots,
      serviceKeys,
      trustBundle: trustBundle(),
      at: clock.now(),
      verifiers: this.#verifiers,
    });
  }

  #register(
    { participant }: Presentation,
    { jws, claims, appraisal }: AppraisedToken,
    endorsements: Endorsements = noEndorsements,
  ): RegisteredToken {
    const { signer, clock, policyId } = this.#options;
    const appraisedAt = clock.now();
    const result = earClaims([appraisal], {
      verifierId: { developer: 'muster', build: version },
      issuedAt: appraisedAt,
      policyId,
    });
    const ear = signJws(
      { typ: 'JWT', kid: signer.keyId },
      {
        ...result,
        iss: signer.issuer,
        sub: formatSpiffeId({ trustDomain: signer.trustDomain, ...participant }),
        exp: Math.floor(claims.expiresAt.getTime() / 1000),
      },
      signer.key,
    );
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
function refused(
  { reasons, appraised }: ParticipantAppraisal,
  resolutions: readonly Resolution[],
  deferredKeys: readonly Reason[],
): Verdict {
  const deferred = [...resolutions.flatMap((resolution) => resolution.deferred), ...deferredKeys];
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
