import type { JobState } from '@muster/server/admission/job-state.js';
import { isUrgent } from '@muster/server/commands/action.js';
import type { Downstream } from '@muster/server/sessions/connections.js';
import { ResumeMode, type Command } from '@muster/shared/gen/muster/v1/agent.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { modelTimes } from './stream.js';

const { heartbeatMs, leaseTtlMs } = modelTimes;
/** How many commands the server sends before it waits. */
export const commandWindow = 32;

/** A command, and what became of it. */
export interface StoredCommand {
  readonly command: Command;
  outcome?: string;
}

/** What survives a crash. */
export interface Database {
  readonly jobs: Map<string, JobState>;
  readonly commands: StoredCommand[];
  epoch: number;
  bootId: string | null;
  logId: string;
}

/** A copy of a database that no later change touches. */
export function copyOf({ jobs, commands, ...rest }: Database): Database {
  return { ...rest, jobs: new Map(jobs), commands: commands.map((stored) => ({ ...stored })) };
}

/** How the rules of delivery see a command. */
export function queued({ seq, action }: Command): { readonly seq: number; readonly urgent: boolean } {
  return { seq: Number(seq), urgent: isUrgent(action?.$case ?? '') };
}

/** The answer to a Hello. */
export function welcome(epoch: number, mode: 'REPLAY' | 'SNAPSHOT', logId: string): Downstream {
  return {
    $case: 'welcome',
    value: {
      epoch: BigInt(epoch),
      logId,
      mode: ResumeMode[mode],
      heartbeatInterval: toDuration(heartbeatMs),
      leaseTtl: toDuration(leaseTtlMs),
      window: commandWindow,
      serverTime: new Date(0),
      serverAttestation: undefined,
      protocol: 1,
      jwks: '',
      graceLimit: undefined,
    },
  };
}
