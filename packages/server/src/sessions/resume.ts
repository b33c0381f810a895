import type { Hello } from '@muster/shared/gen/muster/v1/agent.js';

/** What the server remembers of a participant's previous session. */
export interface Remembered {
  readonly epoch: number;
  readonly bootId: string | null;
  /** The last sequence number given to a command. */
  readonly lastSeq: number;
  /** Whether the latest command that the agent has received is one of this store's; true when it names none. */
  readonly knowsLatest: boolean;
}

/** How a session goes on from the previous one. */
export interface Resumption {
  /** Fences every earlier session. */
  readonly epoch: number;
  readonly mode: 'REPLAY' | 'SNAPSHOT';
  /** True when the agent has seen what this store does not hold: it was restored, and the log needs a new name. */
  readonly renameLog: boolean;
}

/**
 * Decides how a session resumes. An agent whose process and log are those of the previous session is sent the unfinished
 * commands; any other is told the whole desired state first.
 */
export function decideResumption(
  hello: Pick<Hello, 'bootId' | 'lastEpoch' | 'logId' | 'appliedSeq'>,
  remembered: Remembered,
  logId: string,
): Resumption {
  const restored =
    hello.logId === logId && (Number(hello.appliedSeq) > remembered.lastSeq || !remembered.knowsLatest);
  const same = hello.logId === logId && hello.bootId === remembered.bootId && !restored;
  return {
    epoch: Math.max(remembered.epoch, Number(hello.lastEpoch)) + 1,
    mode: same ? 'REPLAY' : 'SNAPSHOT',
    renameLog: restored,
  };
}
