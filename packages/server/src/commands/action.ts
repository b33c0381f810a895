import { Command } from '@muster/shared/gen/muster/v1/agent.js';
import type { CommandAction } from '../ports.js';

/** Whether a command takes permission back, so that it overtakes the others. */
export function isUrgent(kind: string): boolean {
  return kind === 'stopJob' || kind === 'shutdown';
}

/** Whether a command asks for an answer that would come after its deadline. */
export function isOverdue({ action }: Command, now: Date): boolean {
  return action?.$case === 'checkJob' && action.value.deadline !== undefined && action.value.deadline < now;
}

/** The job and generation that a command is about. */
export function jobOf(
  action: CommandAction,
): { readonly jobId: string; readonly generation: number } | undefined {
  switch (action.$case) {
    case 'checkJob':
    case 'stopJob':
      return { jobId: action.value.jobId, generation: Number(action.value.generation) };
    case 'permitJob': {
      const { permit } = action.value;
      return permit && { jobId: permit.jobId, generation: Number(permit.generation) };
    }
    case 'shutdown':
    case 'reattest':
    case 'rotateCertificate':
      return undefined;
    default:
      return action satisfies never;
  }
}

/**
 * Encodes commands of one action as the store keeps them. The action is encoded once: encodings of parts of a message,
 * one after the other, are that of the whole (Protocol Buffers, encoding, "Last One Wins").
 */
export function commandEncoder(action: CommandAction): (command: Pick<Command, 'seq' | 'id'>) => string {
  const common = Command.encode({ seq: 0n, id: '', action }).finish();
  return ({ seq, id }) => {
    const own = Command.encode({ seq, id, action: undefined }).finish();
    return Buffer.concat([own, common]).toString('base64');
  };
}

/** A command from the store. */
export function decodeCommand(payload: string): Command {
  return Command.decode(Buffer.from(payload, 'base64'));
}
