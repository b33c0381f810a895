import type { CommandAction, CommandResult, Commands } from '@muster/server/ports.js';
import { afterCommit } from '@muster/server/store/after-commit.js';
import type { Transaction } from '@muster/server/store/store.js';
import type { Reason } from '@muster/shared/reasons.js';

/** A command that was committed. */
export interface SentCommand {
  readonly participant: string;
  readonly seq: number;
  readonly action: CommandAction;
}

/** Commands that a test looks at and answers as an agent would. */
export class FakeCommands implements Commands {
  readonly sent: SentCommand[] = [];
  readonly #listeners: ((result: CommandResult) => Promise<void>)[] = [];
  /** Called by every `enqueue`, for tests in which that fails. */
  onEnqueue: (participant: string, action: CommandAction) => void = () => undefined;

  async enqueue(tx: Transaction, participants: readonly string[], action: CommandAction): Promise<void> {
    for (const participant of participants) {
      this.onEnqueue(participant, action);
      afterCommit(tx, () => this.sent.push({ participant, seq: this.sent.length + 1, action }));
    }
  }

  flush(): void {
    // What was committed counts as sent.
  }

  onResult(listener: (result: CommandResult) => Promise<void>): void {
    this.#listeners.push(listener);
  }

  /** The commands of a kind, as `site-1 job-1/1`. */
  of(kind: CommandAction['$case']): string[] {
    return this.sent.filter(({ action }) => action.$case === kind).map(describe);
  }

  /** Answers the last command of a kind to a participant. */
  async answer(
    participant: string,
    kind: CommandAction['$case'],
    outcome: CommandResult['outcome'] = 'APPLIED',
    reasons: readonly Reason[] = [],
  ): Promise<void> {
    const command = this.sent.findLast(
      (sent) => sent.participant === participant && sent.action.$case === kind,
    );
    if (command === undefined) throw new Error(`no ${kind} was sent to ${participant}`);
    for (const listener of this.#listeners) await listener({ ...command, epoch: 0, outcome, reasons });
  }
}

function describe({ participant, action }: SentCommand): string {
  switch (action.$case) {
    case 'checkJob':
    case 'stopJob':
      return `${participant} ${action.value.jobId}/${action.value.generation}`;
    case 'permitJob':
      return `${participant} ${action.value.permit?.jobId}/${action.value.permit?.generation}`;
    default:
      return participant;
  }
}
