import { readdirSync, readFileSync } from 'node:fs';
import { sleep, systemClock, type Clock } from '@muster/shared/clock.js';
import type { RunCgroup } from './cgroup.js';

/** The variable in the environment of a job's command by which its descendants are found. */
export const runIdVariable = 'MUSTER_RUN_ID';

/** A process, so that a later process with the same number is not taken for it. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot: field 22 of /proc/pid/stat (proc(5)). */
  readonly startTime: string;
}

interface ProcessEntry extends ProcessIdentity {
  readonly parent: number;
  readonly group: number;
  readonly session: number;
}

/** What makes a process part of a run. */
export interface RunTarget {
  /** Carried as MUSTER_RUN_ID in the environment; a run's id, or what a family of ids starts with. */
  readonly runId: string;
  /** The command's process, which leads a process group and a session. */
  readonly leader?: ProcessIdentity;
  readonly cgroup?: RunCgroup;
}

/** How long SIGKILL is repeated until the attempt counts as failed, ms. */
const killBudgetMs = 5_000;
const firstPollMs = 5;
const longestPollMs = 100;

/** The identity of a process; undefined when there is none of this number, or only its zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  const entry = readEntry(pid);
  return entry === undefined ? undefined : { pid, startTime: entry.startTime };
}

/** The identity of a process that is a child of another one; undefined when there is none of this number. */
export function identifyChild(parent: ProcessIdentity, pid: number): ProcessIdentity | undefined {
  const entry = readEntry(pid);
  const isChild = entry?.parent === parent.pid && isAlive(parent);
  return isChild ? { pid, startTime: entry.startTime } : undefined;
}

/** Whether a process, found by its number and start time, still runs. */
export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime === process.startTime;
}

/** Sends a signal, or 0 to try, to exactly this process. False when it is gone or belongs to somebody else. */
export function signalProcess(target: ProcessIdentity, signal: NodeJS.Signals | 0): boolean {
  try {
    return isAlive(target) && process.kill(target.pid, signal);
  } catch {
    return false;
  }
}

/** Whether the environment that a process was started with names the run. False when it may not be read. */
function carriesRunId(pid: number, runId: string): boolean {
  return `\0${readProc(pid, 'environ') ?? ''}`.includes(`\0${runIdVariable}=${runId}`);
}

/**
 * Finds the processes of a run: its leader's session and process group, whatever carries its id, whatever is in its
 * cgroup, those already known, and all of their descendants. The calling process is never among them.
 */
export function findRun(target: RunTarget, known: readonly ProcessIdentity[] = []): ProcessIdentity[] {
  const table = new Map(readTable().map((entry) => [entry.pid, entry]));
  const inCgroup = new Set(target.cgroup?.pids());
  const reused = (leader: ProcessIdentity): boolean =>
    table.has(leader.pid) && table.get(leader.pid)?.startTime !== leader.startTime;
  const leader = target.leader !== undefined && !reused(target.leader) ? target.leader.pid : undefined;
  const starts = new Map(known.map((one) => [one.pid, one.startTime]));

  const found = new Set<number>();
  for (const entry of table.values()) {
    const ofLeader = leader !== undefined && [entry.pid, entry.group, entry.session].includes(leader);
    const isKnown = starts.get(entry.pid) === entry.startTime;
    if (ofLeader || isKnown || inCgroup.has(entry.pid) || carriesRunId(entry.pid, target.runId)) {
      found.add(entry.pid);
    }
  }
  found.delete(process.pid);
  for (let grown = true; grown;) {
    grown = false;
    for (const { pid, parent } of table.values()) {
      if (!found.has(parent) || found.has(pid) || pid === process.pid) continue;
      found.add(pid);
      grown = true;
    }
  }
  return [...table.values()]
    .filter(({ pid }) => found.has(pid))
    .map(({ pid, startTime }) => ({ pid, startTime }));
}

/**
 * Ends every process of a run: SIGTERM, then, after the grace period, SIGKILL until nothing is left. Returns what could
 * not be ended within the grace period and five seconds; empty when the run is gone.
 */
export async function endRun(
  target: RunTarget,
  graceMs: number,
  clock: Clock = systemClock,
): Promise<readonly ProcessIdentity[]> {
  // The clock's timers let the process exit, which must not happen before the run is gone.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    return await endWithin(target, graceMs, clock);
  } finally {
    clearInterval(alive);
  }
}

async function endWithin(
  target: RunTarget,
  graceMs: number,
  clock: Clock,
): Promise<readonly ProcessIdentity[]> {
  const graceEnds = clock.monotonic() + graceMs;
  const gaveUp = graceEnds + killBudgetMs;
  const told = new Set<string>();
  let left = findRun(target);
  for (let pollMs = firstPollMs; left.length > 0; pollMs = Math.min(2 * pollMs, longestPollMs)) {
    if (clock.monotonic() >= gaveUp) return left;
    if (clock.monotonic() < graceEnds) {
      terminate(left, told);
    } else {
      left = kill(target, left);
    }
    await sleep(clock, pollMs);
    const alive = left.filter(isAlive);
    left = alive.length > 0 && clock.monotonic() < graceEnds ? alive : findRun(target, alive);
  }
  return left;
}

/** Asks each process once to end; one that is stopped is continued, so that it hears it. */
function terminate(processes: readonly ProcessIdentity[], told: Set<string>): void {
  for (const one of processes) {
    const key = `${one.pid} ${one.startTime}`;
    if (told.has(key)) continue;
    told.add(key);
    signalProcess(one, 'SIGTERM');
    signalProcess(one, 'SIGCONT');
  }
}

/** Kills what there is. All are halted first, so that none can start another one between being found and killed. */
function kill(target: RunTarget, known: readonly ProcessIdentity[]): ProcessIdentity[] {
  target.cgroup?.kill();
  let found = findRun(target, known);
  for (let before = 0; found.length > before;) {
    before = found.length;
    for (const one of found) signalProcess(one, 'SIGSTOP');
    found = findRun(target, found);
  }
  for (const one of found) signalProcess(one, 'SIGKILL');
  return found;
}

function readTable(): ProcessEntry[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? (readEntry(Number(name)) ?? []) : []));
}

/** Reads /proc/pid/stat (proc(5)); undefined for a process that is gone or a zombie with no thread left. */
function readEntry(pid: number): ProcessEntry | undefined {
  const stat = readProc(pid, 'stat');
  if (stat === undefined) return undefined;
  // The command's name, field 2, is in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): string => fields[number - 3] ?? '';
  const ended = /^[ZXx]$/.test(field(3)) && Number(field(20)) <= 1;
  if (ended) return undefined;
  return {
    pid,
    parent: Number(field(4)),
    group: Number(field(5)),
    session: Number(field(6)),
    startTime: field(22),
  };
}

function readProc(pid: number, file: 'stat' | 'environ'): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return undefined;
  }
}
