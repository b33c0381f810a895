import { randomUUID } from 'node:crypto';
import type { Clock, Timer } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import type { Command } from '@muster/shared/gen/muster/v1/agent.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import type { CommandAction, CommandResult, Commands } from '../ports.js';
import type { Outbox } from '../sessions/connections.js';
import { afterCommit } from '../store/after-commit.js';
import {
  advanceCursor,
  finishCommand,
  insertCommands,
  pruneCommands,
  selectUnfinished,
  selectUnfinishedPermits,
} from '../store/commands.js';
import { Grouped } from '../store/grouped.js';
import { requireCurrentEpoch, takeSequenceNumbers } from '../store/participants.js';
import type { Store, Transaction } from '../store/store.js';
import { commandEncoder, decodeCommand, isOverdue, isUrgent, jobOf } from './action.js';
import { decideDelivery, openDelivery, type Delivery, type DeliveryEvent, type Outcome } from './decide.js';

/** How many commands of a kind are sent before their acknowledgements are awaited. */
export const commandWindow = 32;
const limits = { window: commandWindow, resendMs: 10_000 };
/** How many commands are written by one statement. */
const batchSize = 500;
/** How long finished commands are kept, ms. */
const retentionMs = 24 * 3_600_000;
/** With every how many of a participant's commands those are deleted that were kept for so long. */
const pruneEvery = 32;

/** What the queue works with. */
export interface CommandQueueDependencies {
  readonly store: Store;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly logger: Logger;
}

/** The delivery to one connected participant. */
interface Line {
  readonly epoch: number;
  readonly commands: Map<number, Command>;
  delivery: Delivery;
  /** When something is to be sent again, on the monotonic clock, ms. */
  dueAt: number | undefined;
}

/** How an agent acknowledges a command. */
export interface Acknowledgement {
  readonly seq: number;
  readonly outcome: Outcome;
  readonly reasons: readonly Reason[];
}

/** Durable commands. The rules of delivery are in decide.ts; this carries them out. */
export class CommandQueue implements Commands {
  readonly #dependencies: CommandQueueDependencies;
  readonly #lines = new Map<string, Line>();
  /** What a job asks of its sites, they acknowledge at about the same time. */
  readonly #finishing: Grouped<void>;
  readonly #listeners: ((result: CommandResult) => Promise<void>)[] = [];
  /** The end of the chain of acknowledgements of each participant: they are handled one at a time. */
  readonly #chains = new Map<string, Promise<void>>();
  /** When it is looked next what is due, on the monotonic clock, ms. */
  #look: { readonly at: number; readonly timer: Timer } | undefined;

  constructor(dependencies: CommandQueueDependencies) {
    this.#dependencies = dependencies;
    this.#finishing = new Grouped(dependencies.store);
  }

  async enqueue(tx: Transaction, participants: readonly string[], action: CommandAction): Promise<void> {
    for (let first = 0; first < participants.length; first += batchSize) {
      await this.#enqueueBatch(tx, participants.slice(first, first + batchSize), action);
    }
  }

  flush(participants: readonly string[]): void {
    for (const participant of participants) {
      const pending = this.#lines.get(participant)?.delivery.pending ?? [];
      if (pending.length > 0) this.#apply(participant, { type: 'due' });
    }
  }

  onResult(listener: (result: CommandResult) => Promise<void>): void {
    this.#listeners.push(listener);
  }

  /**
   * Begins to deliver to a participant's new session: everything unfinished is sent once it is flushed, except questions
   * whose answer would come too late.
   */
  async attach(tx: Transaction, participant: string, epoch: number): Promise<void> {
    const rows = await selectUnfinished(tx, participant);
    const now = this.#dependencies.clock.now();
    const pending = rows.map(({ seq, payload }) => ({ seq, command: decodeCommand(payload) }));
    const late = pending.filter(({ command }) => isOverdue(command, now));
    const due = pending.filter(({ command }) => !isOverdue(command, now));
    const reasons = JSON.stringify([reason('JOB_CHECK_TIMEOUT', { participant })]);
    for (const { seq } of late) {
      await finishCommand(tx, participant, seq, { outcome: 'REJECTED', reasons, at: now.getTime() });
    }
    if (late.length > 0) await advanceCursor(tx, participant);
    afterCommit(tx, () => {
      this.detach(participant);
      this.#lines.set(participant, {
        epoch,
        commands: new Map(due.map(({ seq, command }) => [seq, command])),
        delivery: openDelivery(
          due.map(({ seq, command }) => ({ seq, urgent: isUrgent(command.action?.$case ?? '') })),
        ),
        dueAt: undefined,
      });
    });
  }

  /** Ends the delivery to a participant; with an epoch, only to that session. */
  detach(participant: string, epoch?: number): void {
    const line = this.#lines.get(participant);
    if (line === undefined || (epoch !== undefined && epoch !== line.epoch)) return;
    this.#lines.delete(participant);
  }

  /**
   * Takes an agent's acknowledgement: tells the listeners once, then records the outcome if the session is still the
   * newest. When a listener or the store fails, the command stays unfinished and is acknowledged again later.
   */
  acknowledge(participant: string, epoch: number, acknowledgement: Acknowledgement): Promise<void> {
    const previous = this.#chains.get(participant) ?? Promise.resolve();
    const next = previous.then(() => this.#handle(participant, epoch, acknowledgement));
    this.#chains.set(participant, next);
    return next.finally(() => {
      if (this.#chains.get(participant) === next) this.#chains.delete(participant);
    });
  }

  async #handle(participant: string, epoch: number, acknowledgement: Acknowledgement): Promise<void> {
    const { seq, outcome, reasons } = acknowledgement;
    const line = this.#lines.get(participant);
    const action = line?.commands.get(seq)?.action;
    if (line?.epoch !== epoch || action === undefined) return;
    const effects = this.#apply(participant, { type: 'acknowledged', seq, outcome });
    if (!effects.some(({ type }) => type === 'tell')) return;
    const { logger } = this.#dependencies;
    const fields = {
      participant,
      seq,
      kind: action.$case,
      outcome,
      reasons: reasons.map(({ code }) => code),
    };
    if (outcome === 'REJECTED') logger.warn('command.rejected', fields);
    else logger.info('command.acknowledged', fields);
    try {
      for (const listener of this.#listeners)
        await listener({ participant, epoch, seq, action, outcome, reasons });
      if (outcome !== 'RECEIVED') await this.#finish(participant, epoch, acknowledgement);
    } catch (error) {
      logger.error('command.failed', { ...fields, ...errorFields(error) });
      this.#apply(participant, { type: 'requeued', seq });
    }
  }

  async #finish(
    participant: string,
    epoch: number,
    { seq, outcome, reasons }: Acknowledgement,
  ): Promise<void> {
    const at = this.#dependencies.clock.now().getTime();
    const finish = async (tx: Transaction): Promise<void> => {
      await requireCurrentEpoch(tx, participant, epoch);
      await finishCommand(tx, participant, seq, { outcome, reasons: JSON.stringify(reasons), at });
      await advanceCursor(tx, participant);
      if (seq % pruneEvery === 0) await pruneCommands(tx, participant, at - retentionMs);
      this.#forgetAfterCommit(tx, participant, seq);
    };
    await this.#finishing.run({ key: participant, run: finish });
  }

  async #enqueueBatch(
    tx: Transaction,
    participants: readonly string[],
    action: CommandAction,
  ): Promise<void> {
    const numbers = await takeSequenceNumbers(tx, participants);
    const job = jobOf(action);
    const commands = participants.map((participant) => {
      const seq = numbers.get(participant);
      if (seq === undefined) throw refusal('PARTICIPANT_UNKNOWN', { participant });
      return { participant, seq, command: { seq: BigInt(seq), id: randomUUID(), action } };
    });
    const encode = commandEncoder(action);
    await insertCommands(
      tx,
      {
        kind: action.$case,
        job_id: job?.jobId ?? null,
        generation: job?.generation ?? null,
        created_at: this.#dependencies.clock.now().getTime(),
      },
      commands.map(({ participant, seq, command }) => ({
        participant,
        seq,
        id: command.id,
        payload: encode(command),
      })),
    );
    if (action.$case === 'stopJob' && job !== undefined) await this.#supersedePermits(tx, participants, job);
    afterCommit(tx, () => {
      for (const { participant, seq, command } of commands) {
        this.#lines.get(participant)?.commands.set(seq, command);
        const urgent = isUrgent(action.$case);
        this.#apply(participant, { type: 'enqueued', command: { seq, urgent } });
      }
    });
  }

  /** A permit that was not confirmed yet must not arrive after the stop that overtakes it. */
  async #supersedePermits(
    tx: Transaction,
    participants: readonly string[],
    job: { readonly jobId: string; readonly generation: number },
  ): Promise<void> {
    const at = this.#dependencies.clock.now().getTime();
    for (const { participant, seq } of await selectUnfinishedPermits(tx, participants, job)) {
      const reasons = JSON.stringify([reason('JOB_SUPERSEDED', { participant })]);
      await finishCommand(tx, participant, seq, { outcome: 'REJECTED', reasons, at });
      this.#forgetAfterCommit(tx, participant, seq);
    }
  }

  #forgetAfterCommit(tx: Transaction, participant: string, seq: number): void {
    afterCommit(tx, () => {
      this.#lines.get(participant)?.commands.delete(seq);
      this.#apply(participant, { type: 'finished', seq });
    });
  }

  #apply(participant: string, event: DeliveryEvent): ReturnType<typeof decideDelivery>['effects'] {
    const line = this.#lines.get(participant);
    if (line === undefined) return [];
    const { clock } = this.#dependencies;
    const { state, effects, dueAt } = decideDelivery(line.delivery, event, clock.monotonic(), limits);
    line.delivery = state;
    line.dueAt = dueAt;
    if (dueAt !== undefined) this.#lookAt(dueAt);
    for (const effect of effects) if (effect.type === 'send') this.#send(participant, line, effect.seq);
    return effects;
  }

  /** Looks at all lines at that time, or earlier: one timer serves them all. */
  #lookAt(at: number): void {
    const { clock } = this.#dependencies;
    if (this.#look !== undefined && this.#look.at <= at) return;
    this.#look?.timer.cancel();
    this.#look = { at, timer: clock.schedule(at - clock.monotonic(), () => this.#sendDue()) };
  }

  #sendDue(): void {
    this.#look = undefined;
    const now = this.#dependencies.clock.monotonic();
    for (const [participant, { dueAt = Infinity }] of this.#lines) {
      if (dueAt <= now) this.#apply(participant, { type: 'due' });
      else if (dueAt < Infinity) this.#lookAt(dueAt);
    }
  }

  #send(participant: string, line: Line, seq: number): void {
    const command = line.commands.get(seq);
    if (command === undefined) return;
    const { outbox, logger } = this.#dependencies;
    if (outbox.send(participant, { $case: 'command', value: command })) {
      logger.debug('command.sent', { participant, seq, kind: command.action?.$case });
    } else {
      this.#apply(participant, { type: 'requeued', seq });
    }
  }
}
