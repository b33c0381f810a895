import type { Clock, Timer } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type {
  Attestation,
  CommandAck,
  Hello,
  JobReport,
  SessionResponse,
} from '@muster/shared/gen/muster/v1/agent.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { reason } from '@muster/shared/reasons.js';
import type { SiteChallenges } from '../attestation/site-challenges.js';
import type { Verification } from '../attestation/verification.js';
import type { CommandQueue } from '../commands/command-queue.js';
import type { Caller } from '../middleware/caller.js';
import type { Conversation, Responses } from '../middleware/message-stream.js';
import type { RateLimiter } from '../middleware/rate-limit.js';
import type { Failures, JobEvents } from '../ports.js';
import type { ParticipantRegistry } from '../registry/participant-registry.js';
import { isCurrentEpoch } from '../store/participants.js';
import type { Store } from '../store/store.js';
import type { CloneWatch } from './clone-watch.js';
import type { Connection, Connections, Downstream } from './connections.js';
import { jobStateNames, outcomeNames, readFrame } from './frames.js';
import type { Leases } from './leases.js';
import type { Liveness } from './liveness.js';
import type { Opened, Opening } from './opening.js';
import { Outbound } from './outbound.js';
import { decideSession, newSession, type SessionEffect, type SessionEvent } from './session-state.js';
import type { TrustPush } from './trust-push.js';
import { reasonsFrom } from './wire.js';

/** How long an agent may take to say Hello, ms. */
const greetingMs = 10_000;
/** How many heartbeat intervals an agent may be silent for: three are missed, and each may be a tenth late. */
const intervalsAllowed = 3.3;

/** What all sessions share. */
export interface SessionParts {
  readonly store: Store;
  readonly registry: ParticipantRegistry;
  readonly connections: Connections;
  readonly opening: Opening;
  readonly commands: CommandQueue;
  readonly sites: SiteChallenges;
  readonly verification: Pick<Verification, 'sessionOpened'>;
  readonly jobs: JobEvents;
  readonly failures: Failures;
  readonly leases: Leases;
  readonly liveness: Liveness;
  readonly clones: CloneWatch;
  /** How many heartbeats each participant may send. */
  readonly heartbeats: RateLimiter;
  readonly trust: TrustPush;
  /** How often the agent of the next session is asked for a heartbeat, ms. */
  readonly intervalMs: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** One stream of an agent: carries out what session-state.ts decides, one event after the other. */
export class LiveSession implements Connection, Conversation<Uint8Array> {
  readonly #parts: SessionParts;
  readonly #caller: Caller;
  readonly #outbound: Outbound;
  readonly #intervalMs: number;
  /** Until the agent is welcomed. */
  #greeting: Timer | undefined;
  #state = newSession;
  #epoch = 0;
  /** The appraisal that is under way: it does not delay what follows, but a second one waits for it. */
  #appraisal: Promise<void> | undefined;

  constructor(parts: SessionParts, caller: Caller, responses: Responses<SessionResponse>) {
    this.#parts = parts;
    this.#caller = caller;
    this.#intervalMs = parts.intervalMs();
    this.#outbound = new Outbound(responses);
    this.#greeting = parts.clock.schedule(greetingMs, () => void this.#on({ type: 'greeting_overdue' }));
  }

  get participant(): string {
    return this.#caller.name;
  }

  get epoch(): number {
    return this.#epoch;
  }

  received(bytes: Uint8Array): Promise<void> | undefined {
    try {
      return this.#on({ type: 'received', message: readFrame(bytes) })?.catch((error: unknown) =>
        this.#fail(error),
      );
    } catch (error) {
      return this.#fail(error);
    }
  }

  drained(): void {
    this.#outbound.drained();
  }

  closed(): void {
    void this.#on({ type: 'disconnected' });
  }

  send(message: Downstream): boolean {
    return this.#outbound.push(message);
  }

  close(error?: MusterError): void {
    void this.#on({ type: 'closed', ...(error !== undefined && { error }) });
  }

  #fail(error: unknown): undefined {
    const { logger } = this.#parts;
    const known = error instanceof MusterError ? error : refusal('INTERNAL', {}, error);
    const fields = { participant: this.participant, ...errorFields(error) };
    if (known.code === 'INTERNAL') logger.error('session.failed', fields);
    else logger.warn('session.refused', fields);
    this.close(known);
  }

  /** Returns a promise only when something has to be waited for. */
  #on(event: SessionEvent): Promise<void> | undefined {
    const { state, effects } = decideSession(this.#state, event);
    this.#state = state;
    return this.#performAll(effects);
  }

  #performAll(effects: readonly SessionEffect[]): Promise<void> | undefined {
    let pending: Promise<void> | undefined;
    for (const effect of effects) {
      pending = pending === undefined ? this.#perform(effect) : pending.then(() => this.#perform(effect));
    }
    return pending;
  }

  #perform(effect: SessionEffect): Promise<void> | undefined {
    const { jobs } = this.#parts;
    const site = this.participant;
    switch (effect.type) {
      case 'open':
        return this.#open(effect.hello);
      case 'beat':
        return this.#beat(effect.seq);
      case 'attest':
        return this.#attest(effect.attestation);
      case 'acknowledge':
        return this.#acknowledge(effect.ack);
      case 'check': {
        const { jobId, generation, accepted, reasons } = effect.check;
        return jobs.onJobCheck(this, jobId, Number(generation), accepted, reasonsFrom(reasons, site));
      }
      case 'report':
        return this.#report(effect.report);
      case 'trust':
        return this.#parts.trust.acknowledged(site, this.#epoch, effect.digest);
      case 'leave':
        return this.#leave();
      case 'end':
        return this.#end(effect.error);
      default:
        return effect satisfies never;
    }
  }

  async #open(hello: Hello): Promise<void> {
    const { opening, commands, verification, jobs, liveness, clones, failures, logger } = this.#parts;
    const site = this.participant;
    await opening.open(this.#caller, hello, this.#intervalMs, (opened) => this.#opened(opened));
    const cloned = clones.greets(site, hello);
    logger.info('session.opened', { participant: site, epoch: this.#epoch, boot_id: hello.bootId, cloned });
    if (this.#state.phase !== 'open') return this.#cleanUp();
    liveness.heard(this, this.#allowedMs);
    const running = hello.runningJobs.map(({ jobId, generation }) => ({
      jobId,
      generation: Number(generation),
    }));
    await jobs.onRunningJobs(this, running);
    commands.flush([site]);
    verification.sessionOpened(site);
    this.#parts.trust.greeted(site, hello.trustBundleDigest, this.#caller.authority);
    if (cloned) {
      const reasons = [reason('PARTICIPANT_CLONED', { participant: site })];
      await failures.report({ kind: 'evidence_rejected', participant: site, reasons });
    }
  }

  /** Runs when the new epoch is committed: from here on this is the participant's session, and every other is fenced. */
  #opened({ epoch, welcome, desiredState }: Opened): void {
    const { connections, sites } = this.#parts;
    this.#epoch = epoch;
    this.#greeting?.cancel();
    this.#greeting = undefined;
    this.#outbound.push({ $case: 'welcome', value: welcome });
    if (desiredState !== undefined) this.#outbound.push({ $case: 'desiredState', value: desiredState });
    const previous = connections.add(this);
    sites.forget(this.participant);
    previous?.close(refusal('SESSION_FENCED', { participant: this.participant }));
    void this.#on({ type: 'welcomed' });
  }

  #beat(seq: bigint): undefined {
    const { registry, leases, liveness, clones, heartbeats, commands } = this.#parts;
    const site = this.participant;
    heartbeats.take(site);
    liveness.heard(this, this.#allowedMs);
    clones.uses(site, this.#epoch);
    const leaseRenewed = registry.standing(site).admissible;
    if (leaseRenewed) leases.granted(site);
    this.#outbound.push({ $case: 'heartbeatAck', value: { seq, leaseRenewed } });
    commands.flush([site]);
  }

  async #attest(attestation: Attestation): Promise<void> {
    await this.#appraisal;
    const { store, sites } = this.#parts;
    // An appraisal costs more than anything else: it lets stops pass.
    this.#appraisal = store
      .calm()
      .then(() => sites.answer(this.participant, this.#epoch, attestation))
      .catch((error: unknown) => {
        this.#parts.logger.error('attestation.failed', {
          participant: this.participant,
          ...errorFields(error),
        });
        this.close(error instanceof MusterError ? error : refusal('INTERNAL', {}, error));
      });
  }

  async #acknowledge({ seq, outcome, reasons }: CommandAck): Promise<void> {
    const known = outcomeNames.get(outcome);
    if (known === undefined) return;
    await this.#parts.commands.acknowledge(this.participant, this.#epoch, {
      seq: Number(seq),
      outcome: known,
      reasons: reasonsFrom(reasons, this.participant),
    });
  }

  async #report({ jobId, generation, state, exitCode, reasons }: JobReport): Promise<void> {
    const known = jobStateNames.get(state);
    if (known === undefined) return;
    const site = this.participant;
    const said = reasonsFrom(reasons, site);
    await this.#parts.jobs.onJobReport(this, jobId, Number(generation), known, exitCode, said);
  }

  /** Removes the tokens of an agent that ends for good. Should that fail, its silence has the same effect later. */
  async #leave(): Promise<void> {
    const { store, registry, liveness, clones, logger } = this.#parts;
    const site = this.participant;
    try {
      const left = await store.transaction(async (tx) => {
        if (!(await isCurrentEpoch(tx, site, this.#epoch))) return false;
        await registry.leave(tx, site);
        return true;
      });
      if (!left) return;
      liveness.forget(site);
      clones.forget(site);
    } catch (error) {
      logger.error('session.failed', { participant: site, ...errorFields(error) });
    }
  }

  #end(error: MusterError | undefined): undefined {
    this.#greeting?.cancel();
    this.#outbound.end(error);
    const { logger } = this.#parts;
    const fields = { participant: this.participant, epoch: this.#epoch };
    if (error?.code === 'SESSION_FENCED') logger.warn('session.fenced', fields);
    else logger.info('session.closed', { ...fields, ...(error !== undefined && { code: error.code }) });
    this.#cleanUp();
  }

  /** Takes the session out of the rest of the server, unless a newer one has taken its place. */
  #cleanUp(): void {
    const { connections, commands, sites, registry } = this.#parts;
    if (!connections.remove(this)) return;
    commands.detach(this.participant, this.#epoch);
    sites.forget(this.participant);
    this.#parts.trust.forget(this.participant);
    registry.setLiveness(this.participant, { connected: false });
  }

  get #allowedMs(): number {
    return this.#intervalMs * intervalsAllowed;
  }
}
