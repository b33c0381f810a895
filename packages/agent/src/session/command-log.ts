import type { Command } from '@muster/shared/gen/muster/v1/agent.js';
import type { Reason } from '@muster/shared/reasons.js';

/** What became of a command. */
export interface CommandResult {
  readonly outcome: 'APPLIED' | 'FAILED' | 'REJECTED';
  readonly reasons: readonly Reason[];
}

/** How far the agent has come with the commands that the server sends it. */
export interface CommandLog {
  /** The log that the numbers count in; empty before the first session. */
  readonly logId: string;
  /** Every command up to this one is finished. */
  readonly cursor: bigint;
  /** Commands that were received and are not finished. */
  readonly running: ReadonlySet<bigint>;
  /** The latest results, so that a lost acknowledgement can be repeated. */
  readonly results: ReadonlyMap<bigint, CommandResult>;
  /** The received command with the highest number: a server that knows it knows every one before it. */
  readonly latest: { readonly seq: bigint; readonly id: string };
}

/** What to do about a command that has arrived. */
export type Arrival =
  | { readonly type: 'apply' }
  | { readonly type: 'running' }
  | { readonly type: 'finished'; readonly result: CommandResult }
  /** More commands are unfinished than any window allows. */
  | { readonly type: 'overflow' };

const maxRunning = 256;
const rememberedResults = 256;

/** The log of an agent that has never had a session. */
export const emptyLog: CommandLog = {
  logId: '',
  cursor: 0n,
  running: new Set(),
  results: new Map(),
  latest: { seq: 0n, id: '' },
};

/** The log that a session continues: the same one, or a new one when the server's log has another id. */
export function openLog(log: CommandLog, logId: string): CommandLog {
  return log.logId === logId ? log : { ...emptyLog, logId };
}

/**
 * Takes a command in. One that is known is not applied twice, except after it FAILED: sending it again is asking for
 * another attempt. One whose result is forgotten is applied again; commands are idempotent by job and generation.
 */
export function receive(
  log: CommandLog,
  { seq, id }: Pick<Command, 'seq' | 'id'>,
): { readonly log: CommandLog; readonly arrival: Arrival } {
  if (log.running.has(seq)) return { log, arrival: { type: 'running' } };
  const result = log.results.get(seq);
  if (result !== undefined && result.outcome !== 'FAILED') {
    return { log, arrival: { type: 'finished', result } };
  }
  if (log.running.size >= maxRunning) return { log, arrival: { type: 'overflow' } };
  const latest = seq > log.latest.seq ? { seq, id } : log.latest;
  return { log: { ...log, latest, running: new Set(log.running).add(seq) }, arrival: { type: 'apply' } };
}

/**
 * Notes a command's result. The cursor moves over every command that is finished, in whatever order they ended. A number
 * that never comes, because the server withdrew its command before sending it, holds the cursor only for a while.
 */
export function finish(log: CommandLog, seq: bigint, result: CommandResult): CommandLog {
  const running = new Set(log.running);
  running.delete(seq);
  const results = new Map(log.results);
  results.delete(seq);
  results.set(seq, result);
  let { cursor } = log;
  const [oldest] = results.keys();
  if (oldest !== undefined && results.size > rememberedResults) {
    results.delete(oldest);
    if (oldest > cursor && [...running].every((other) => other > oldest)) cursor = oldest;
  }
  return { ...log, running, results, cursor: contiguous(results, cursor) };
}

/** Notes that a desired state, which includes every command up to `throughSeq`, holds. */
export function adopt(log: CommandLog, throughSeq: bigint): CommandLog {
  const cursor = throughSeq > log.cursor ? throughSeq : log.cursor;
  return { ...log, cursor: contiguous(log.results, cursor) };
}

function contiguous(results: ReadonlyMap<bigint, CommandResult>, from: bigint): bigint {
  let cursor = from;
  while (results.has(cursor + 1n)) cursor += 1n;
  return cursor;
}
