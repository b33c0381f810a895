import type { Clock, Timer } from '@muster/shared/clock.js';
import { MusterError } from '@muster/shared/errors.js';
import type {
  Attestation as AttestationMessage,
  Verdict as VerdictMessage,
} from '@muster/shared/gen/muster/v1/agent.js';
import { VerdictOutcome } from '@muster/shared/gen/muster/v1/agent.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import type { ParticipantRegistry } from '../registry/participant-registry.js';
import type { Outbox } from '../sessions/connections.js';
import { reasonsFrom } from '../sessions/wire.js';
import type { Appraiser, Presentation, Verdict } from './appraisal.js';
import type { Challenges } from './challenges.js';
import { isUncollected } from './uncollected.js';
import type { Finding, VerdictBook } from './verdict-book.js';

/** What the challenges of sites work with. */
export interface SiteChallengesOptions {
  readonly registry: ParticipantRegistry;
  readonly challenges: Challenges;
  readonly appraiser: Appraiser;
  readonly book: VerdictBook;
  readonly outbox: Outbox;
  /** The namespaces that the policy requires of a site. */
  readonly requiredOf: (site: string) => readonly string[];
  /** How long an agent may take to answer, ms. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A challenge that a connected site has not finished with. */
interface Pending {
  id?: string;
  timer?: Timer;
  readonly done: Promise<void>;
  readonly finish: () => void;
}

/** Challenges connected sites, one challenge at a time for each, and judges their answers. */
export class SiteChallenges {
  readonly #options: SiteChallengesOptions;
  readonly #pending = new Map<string, Pending>();
  /** Deferred verdicts that will be tried again. */
  readonly #retries = new Map<string, Timer>();

  constructor(options: SiteChallengesOptions) {
    this.#options = options;
  }

  /**
   * Asks a site for fresh evidence; resolves when its answer is judged, when none came in time, or at once when it is not
   * connected or nothing is required of it. A site that is asked already is not asked twice.
   */
  challenge(site: string): Promise<void> {
    const pending = this.#pending.get(site);
    if (pending !== undefined) return pending.done;
    const namespaces = this.#options.requiredOf(site);
    const publicKey = this.#options.registry.find(site)?.publicKey;
    if (namespaces.length === 0 || publicKey === undefined) return Promise.resolve();
    const { promise, resolve } = deferred();
    const begun: Pending = {
      done: promise,
      finish: () => {
        begun.timer?.cancel();
        if (this.#pending.get(site) === begun) this.#pending.delete(site);
        resolve();
      },
    };
    this.#pending.set(site, begun);
    this.#ask(site, publicKey, namespaces, begun);
    return promise;
  }

  /** Judges a site's answer and sends the verdict. Errors: SESSION_FENCED, STORE_*. */
  async answer(
    site: string,
    epoch: number,
    { challengeId, tokens, failures }: AttestationMessage,
  ): Promise<void> {
    const { registry, challenges, outbox } = this.#options;
    const pending = this.#pending.get(site);
    const ours = pending?.id === challengeId ? pending : undefined;
    const publicKey = registry.find(site)?.publicKey ?? new Uint8Array();
    let nonce: Uint8Array;
    try {
      nonce = challenges.answer(site, publicKey, challengeId);
    } catch (error) {
      if (!(error instanceof MusterError)) throw error;
      this.#options.logger.warn('attestation.rejected', { participant: site, ...errorFields(error) });
      const verdict = { type: 'failed', reasons: error.reasons } as const;
      outbox.send(site, { $case: 'verdict', value: this.#message(challengeId, verdict) });
      return;
    }
    ours?.timer?.cancel();
    this.#retries.get(site)?.cancel();
    const presentation: Presentation = {
      participant: { name: site, role: 'site' },
      publicKey,
      tokens: tokens.map(({ jws }) => jws),
      nonce,
    };
    try {
      await this.#judge(site, epoch, challengeId, presentation, reasonsFrom(failures, site));
    } finally {
      ours?.finish();
    }
  }

  /** Forgets what a site was asked when its session has ended. */
  forget(site: string): void {
    this.#retries.get(site)?.cancel();
    this.#retries.delete(site);
    this.#pending.get(site)?.finish();
  }

  #ask(site: string, publicKey: Uint8Array, namespaces: readonly string[], pending: Pending): void {
    const { challenges, outbox, timeoutMs, clock, logger } = this.#options;
    const { id, nonce, deadline } = challenges.issue(site, publicKey, namespaces, timeoutMs);
    pending.id = id;
    const message = { id, nonce: Buffer.from(nonce), namespaces: [...namespaces], deadline };
    if (!outbox.send(site, { $case: 'challenge', value: message })) return pending.finish();
    logger.info('attestation.challenged', { participant: site, challenge: id });
    pending.timer = clock.schedule(timeoutMs, () => void this.#unanswered(site, pending));
  }

  async #unanswered(site: string, pending: Pending): Promise<void> {
    const { book, registry, logger } = this.#options;
    const message = 'The agent did not answer the challenge in time.';
    const reasons = [reason('CHALLENGE_EXPIRED', { message, participant: site })];
    const tokens = registry.find(site)?.tokens ?? [];
    try {
      await book.record(site, { type: 'failed', kind: 'attester_failed', reasons, tokens });
    } catch (error) {
      logger.error('attestation.failed', { participant: site, ...errorFields(error) });
    } finally {
      pending.finish();
    }
  }

  async #judge(
    site: string,
    epoch: number,
    challengeId: string,
    presentation: Presentation,
    failures: readonly Reason[],
  ): Promise<void> {
    const { registry, appraiser, book, outbox } = this.#options;
    const held = registry.find(site)?.tokens ?? [];
    const silence = [reason('ATTESTATION_GENERATION_FAILED', { participant: site })];
    const nothing = {
      outcome: 'rejected',
      reasons: failures.length > 0 ? [] : silence,
      evidence: {},
    } as const;
    const verdict = presentation.tokens.length === 0 ? nothing : await appraiser.appraise(presentation);
    const finding = findingOf(verdict, failures, held);
    await book.record(site, finding, { epoch });
    outbox.send(site, { $case: 'verdict', value: this.#message(challengeId, finding, verdict) });
    if (verdict.outcome === 'deferred' && this.#outlives(verdict)) {
      const retry = this.#options.clock.schedule(verdict.retryAfterMs, () => {
        this.#judge(site, epoch, challengeId, presentation, failures).catch((error: unknown) =>
          this.#options.logger.error('attestation.failed', { participant: site, ...errorFields(error) }),
        );
      });
      this.#retries.set(site, retry);
    }
  }

  #outlives({ retryAfterMs, expiresAt }: Extract<Verdict, { outcome: 'deferred' }>): boolean {
    return this.#options.clock.now().getTime() + retryAfterMs < expiresAt.getTime();
  }

  #message(
    challengeId: string,
    finding: Pick<Finding, 'type'> & { readonly reasons?: readonly Reason[] },
    verdict?: Verdict,
  ): VerdictMessage {
    const outcomes = {
      accepted: VerdictOutcome.ACCEPTED,
      failed: VerdictOutcome.REJECTED,
      deferred: VerdictOutcome.DEFERRED,
    };
    return {
      challengeId,
      outcome: outcomes[finding.type],
      expiresAt: verdict?.outcome === 'accepted' ? verdict.expiresAt : undefined,
      reasons: (finding.reasons ?? []).map(toReasonMessage),
      retryAfter: verdict?.outcome === 'deferred' ? toDuration(verdict.retryAfterMs) : undefined,
    };
  }
}

/**
 * What an answer means. When all that is wrong is evidence that the agent itself says it could not collect, its attester
 * failed and the tokens held still count until they expire; anything else against it, be it the agent's own word,
 * rejects the evidence, and ends them.
 */
function findingOf(
  verdict: Verdict,
  failures: readonly Reason[],
  held: Extract<Finding, { type: 'failed' }>['tokens'],
): Finding {
  if (verdict.outcome === 'accepted') return { type: 'accepted', tokens: verdict.tokens };
  if (verdict.outcome === 'deferred') return { type: 'deferred', reasons: verdict.reasons };
  const { reasons, evidence } = verdict;
  const isAbsent = reasons.every(
    ({ code, namespace }) =>
      code === 'ATTESTATION_GENERATION_FAILED' ||
      (code === 'ATTESTATION_MISSING' && failures.some((failure) => failure.namespace === namespace)),
  );
  if (isAbsent && isUncollected(failures)) {
    return {
      type: 'failed',
      kind: 'attester_failed',
      reasons: [...failures, ...reasons],
      tokens: held,
      evidence,
    };
  }
  return {
    type: 'failed',
    kind: 'evidence_rejected',
    reasons: [...reasons, ...failures],
    tokens: [],
    evidence,
  };
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
