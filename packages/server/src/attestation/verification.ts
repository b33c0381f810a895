import { mergeEndorsements, noEndorsements } from '@muster/shared/evidence/endorsements.js';
import type { Clock } from '@muster/shared/clock.js';
import { sleep } from '@muster/shared/clock.js';
import { MusterError } from '@muster/shared/errors.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { requiredNamespaces, ruleFor, type Policy } from '@muster/shared/policy/policy.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import type { Attestation, RegisteredParticipant, RegisteredToken } from '../ports.js';
import type { ParticipantRegistry } from '../registry/participant-registry.js';
import type { Store } from '../store/store.js';
import { Alarms } from './alarms.js';
import type { Appraiser } from './appraisal.js';
import { limiter, type Limiter } from './limiter.js';
import type { Schedule } from './schedule.js';
import type { SelfAttestation } from './self-attestation.js';
import type { SiteChallenges } from './site-challenges.js';
import { firstExpiry, isFresh, nextChallenge } from './timing.js';
import { isUncollected } from './uncollected.js';
import type { Finding, VerdictBook } from './verdict-book.js';

/** How many participants that must prove the same are verified at the same time. */
const concurrency = 16;
/** The longest pause before a participant with which something was wrong is challenged again, ms. */
const longestRetryMs = 60_000;
/** When the end of a token is recorded again after the store failed, ms. */
const storeRetryMs = 5_000;

/** What the verification works with. */
export interface VerificationOptions {
  readonly registry: ParticipantRegistry;
  readonly store: Store;
  readonly policy: Policy;
  readonly self: SelfAttestation;
  readonly sites: SiteChallenges;
  readonly appraiser: Appraiser;
  readonly book: VerdictBook;
  readonly schedule: Schedule;
  readonly clock: Clock;
  readonly logger: Logger;
  /** From 0 to 1, for jitter. */
  readonly random?: () => number;
}

/**
 * Keeps every proof fresh: challenges before tokens expire, verifies all again on a schedule, and ends each token at the
 * moment of its expiry.
 */
export class Verification implements Attestation {
  readonly #options: VerificationOptions;
  readonly #expiries: Alarms;
  readonly #renewals: Alarms;
  readonly #limiters = new Map<string, Limiter>();
  readonly #random: () => number;
  #stops: readonly (() => void)[] = [];

  constructor(options: VerificationOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#expiries = new Alarms(options.clock, (name) => void this.#expire(name));
    this.#renewals = new Alarms(options.clock, (name) => void this.#challenge(name));
  }

  /**
   * Makes the server a participant, proves it to itself, appraises anew what the registry holds and begins to keep time.
   * Errors: why the server cannot prove itself, with "failed to generate CC token" when it has no evidence.
   */
  async start(): Promise<void> {
    const { registry, self, schedule, store } = this.#options;
    await store.transaction((tx) => registry.enrollServer(tx, self.name, self.publicKey));
    const finding = await this.#proveServer();
    const { admissible, reasons } = registry.standing(self.name);
    const [first, ...rest] = [...(finding?.type === 'failed' ? finding.reasons : []), ...reasons];
    if (first !== undefined && (finding?.type === 'failed' || !admissible)) {
      throw new MusterError([first, ...rest]);
    }
    const names = registry.all().map(({ name }) => name);
    await Promise.all(names.map((name) => this.#inTurn(name, () => this.#reappraise(name, 'held'))));
    for (const participant of registry.all()) this.#arm(participant);
    this.#stops = [
      registry.watch((name, participant) => {
        if (participant === undefined) this.#forget(name);
        else this.#arm(participant);
      }),
      schedule(() => void this.#verifyAll()),
    ];
  }

  /** Ends all timers. */
  stop(): void {
    for (const stop of this.#stops) stop();
    this.#expiries.clearAll();
    this.#renewals.clearAll();
  }

  /** Challenges a site whose session has opened, unless what the registry holds of it is fresh. */
  sessionOpened(site: string): void {
    const { registry, clock } = this.#options;
    const participant = registry.find(site);
    if (participant === undefined) return;
    if (isFresh(participant.tokens, this.#requiredOf(participant), clock.now())) this.#arm(participant);
    else void this.#challenge(site);
  }

  async verify(participants: readonly string[], deadlineMs: number): Promise<void> {
    const cancelled = new AbortController();
    const deadline = sleep(this.#options.clock, deadlineMs, cancelled.signal).catch(() => undefined);
    const verified = Promise.all(participants.map((name) => this.#inTurn(name, () => this.#verifyOne(name))));
    await Promise.race([verified, deadline]);
    cancelled.abort();
  }

  async #verifyAll(): Promise<void> {
    const { registry, logger } = this.#options;
    const names = registry.all().map(({ name }) => name);
    logger.info('verification.scheduled', { participants: names.length });
    await Promise.all(names.map((name) => this.#inTurn(name, () => this.#verifyOne(name))));
  }

  /** Only those that must prove the same wait for each other: a vendor that hangs keeps nobody else's sites waiting. */
  #inTurn(name: string, work: () => Promise<void>): Promise<void> {
    const participant = this.#options.registry.find(name);
    const kind = participant === undefined ? '' : this.#requiredOf(participant).join();
    const limited = this.#limiters.get(kind) ?? limiter(concurrency);
    this.#limiters.set(kind, limited);
    return limited(work);
  }

  async #verifyOne(name: string): Promise<void> {
    await this.#reappraise(name, 'fresh');
    await this.#challenge(name);
  }

  /** Asks for fresh evidence. Never rejects: what goes wrong is recorded, or logged when even that fails. */
  async #challenge(name: string): Promise<void> {
    const { self, sites, logger } = this.#options;
    if (name !== self.name) return sites.challenge(name);
    try {
      await this.#proveServer();
    } catch (error) {
      logger.error('attestation.failed', { participant: name, ...errorFields(error) });
    }
  }

  /** Has the server prove itself and records what was found; an exempt server is not asked. */
  async #proveServer(): Promise<Finding | undefined> {
    const { self, book } = this.#options;
    if (self.namespaces.length === 0) return undefined;
    const finding = await this.#examineServer();
    await book.record(self.name, finding);
    return finding;
  }

  async #examineServer(): Promise<Finding> {
    const { self, registry } = this.#options;
    try {
      const verdict = await self.prove();
      if (verdict.outcome === 'accepted') return { type: 'accepted', tokens: verdict.tokens };
      const { reasons } = verdict;
      if (verdict.outcome === 'deferred') return { type: 'deferred', reasons };
      return { type: 'failed', kind: 'evidence_rejected', reasons, tokens: [], evidence: verdict.evidence };
    } catch (error) {
      if (!(error instanceof MusterError)) throw error;
      const reasons = error.reasons.map((entry) => ({ ...entry, participant: self.name }));
      if (!isUncollected(reasons)) return { type: 'failed', kind: 'evidence_rejected', reasons, tokens: [] };
      const tokens = registry.find(self.name)?.tokens ?? [];
      return { type: 'failed', kind: 'attester_failed', reasons, tokens };
    }
  }

  /**
   * Appraises the tokens that the registry holds at this time and under this policy: with the revocation lists that are
   * held too, which needs no vendor, or with fresh ones.
   */
  async #reappraise(name: string, revocation: 'held' | 'fresh'): Promise<void> {
    const { registry, appraiser, book, logger } = this.#options;
    try {
      await this.#endExpired(name);
      const participant = registry.find(name);
      if (participant?.publicKey === undefined || participant.tokens.length === 0) return;
      const { role, publicKey, tokens } = participant;
      const held = mergeEndorsements(...tokens.map(({ endorsements }) => endorsements));
      const verdict = await appraiser.appraise({
        participant: { name, role },
        publicKey,
        tokens: tokens.map(({ jws }) => jws),
        atHand: revocation === 'held' ? held : { ...noEndorsements, certificates: held.certificates },
      });
      if (verdict.outcome !== 'rejected') return;
      const { reasons, evidence } = verdict;
      const finding = { type: 'failed', kind: 'evidence_rejected', reasons, evidence, tokens: [] } as const;
      await book.record(name, finding, { tokens });
    } catch (error) {
      logger.error('attestation.failed', { participant: name, ...errorFields(error) });
    }
  }

  /** Ends the tokens of a participant whose time is over: each is taken out of the registry, so that it fails once. */
  async #endExpired(name: string): Promise<void> {
    const { registry, book, clock } = this.#options;
    const participant = registry.find(name);
    if (participant === undefined) return;
    const { tokens } = participant;
    const required = this.#requiredOf(participant);
    const isOver = ({ expiresAt }: RegisteredToken): boolean => expiresAt.getTime() <= clock.now().getTime();
    const over = tokens.filter((token) => isOver(token) && required.includes(token.namespace));
    if (over.length === 0) return;
    const reasons = over.map(({ namespace }): Reason =>
      reason('ATTESTATION_EXPIRED', { participant: name, namespace }),
    );
    const left = tokens.filter((token) => !isOver(token));
    await book.record(name, { type: 'failed', kind: 'token_expired', reasons, tokens: left }, { tokens });
  }

  async #expire(name: string): Promise<void> {
    const { registry, logger, clock } = this.#options;
    try {
      await this.#endExpired(name);
      const participant = registry.find(name);
      if (participant !== undefined) this.#armExpiry(participant);
    } catch (error) {
      logger.error('attestation.failed', { participant: name, ...errorFields(error) });
      this.#expiries.set(name, new Date(clock.now().getTime() + storeRetryMs));
    }
  }

  #armExpiry(participant: RegisteredParticipant): void {
    const { name, tokens } = participant;
    const expiry = firstExpiry(tokens, this.#requiredOf(participant));
    if (expiry === undefined) this.#expiries.clear(name);
    else this.#expiries.set(name, expiry);
  }

  #arm(participant: RegisteredParticipant): void {
    const { clock, policy, self } = this.#options;
    const { name } = participant;
    const required = this.#requiredOf(participant);
    this.#armExpiry(participant);
    if (required.length === 0 || !(participant.connected || name === self.name)) {
      this.#renewals.clear(name);
      return;
    }
    const retryMs = Math.min(longestRetryMs, policy.token_lifetime / 10);
    this.#renewals.set(
      name,
      nextChallenge(participant, required, clock.now(), { retryMs, random: this.#random() }),
    );
  }

  #forget(name: string): void {
    this.#expiries.clear(name);
    this.#renewals.clear(name);
  }

  #requiredOf({ name, role }: RegisteredParticipant): readonly string[] {
    const rule = ruleFor(this.#options.policy, { name, role });
    return rule === undefined ? [] : requiredNamespaces(rule);
  }
}
