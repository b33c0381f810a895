import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** A cgroup v2 of one run (the kernel's Documentation/admin-guide/cgroup-v2.rst). */
export interface RunCgroup {
  readonly path: string;
  /** The processes in it and below; empty when it is gone. */
  pids(): number[];
  /** Kills all of them at once, forks included (cgroup.kill; Linux 5.14 and later, otherwise nothing happens). */
  kill(): void;
  /** Removes it; without effect while a process is left. */
  remove(): void;
}

const prefix = 'muster-';

/** The cgroup v2 directory of this process; undefined where there is none, or only version 1. */
export function ownCgroup(): string | undefined {
  try {
    const mount = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .find((fields) => fields[fields.indexOf('-') + 1] === 'cgroup2')?.[4];
    const path = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
    return mount === undefined || path === undefined ? undefined : join(mount, path);
  } catch {
    return undefined;
  }
}

/** Makes a cgroup for a run; undefined where this process may not. */
export function createRunCgroup(parent: string, runId: string): RunCgroup | undefined {
  const path = join(parent, prefix + runId);
  try {
    mkdirSync(path);
    return openRunCgroup(path);
  } catch {
    return undefined;
  }
}

/** The cgroups that runs left behind whose ids start with a prefix. */
export function leftRunCgroups(parent: string, runIdPrefix: string): RunCgroup[] {
  return attempt(() => readdirSync(parent), [])
    .filter((name) => name.startsWith(prefix + runIdPrefix))
    .map((name) => openRunCgroup(join(parent, name)));
}

/**
 * Runs a function while this process is in a cgroup, so that what it starts is in it from its first instruction on.
 * Where the move is not allowed the function runs all the same: descendants are then found through /proc alone.
 */
export function withinCgroup<T>(path: string, action: () => T): T {
  const home = ownCgroup();
  const moved = path !== '' && home !== undefined && basename(path).startsWith(prefix) && enter(path);
  try {
    return action();
  } finally {
    if (moved) enter(home);
  }
}

function enter(path: string): boolean {
  return attempt(() => {
    writeFileSync(join(path, 'cgroup.procs'), String(process.pid), { flag: 'r+' });
    return true;
  }, false);
}

function openRunCgroup(path: string): RunCgroup {
  return {
    path,
    pids: () => withBelow(path).flatMap(pidsOf),
    kill: () => attempt(() => writeFileSync(join(path, 'cgroup.kill'), '1', { flag: 'r+' }), undefined),
    remove: () => {
      for (const directory of withBelow(path).toReversed()) attempt(() => rmdirSync(directory), undefined);
    },
  };
}

/** A cgroup and those below it, the outer before the inner. */
function withBelow(path: string): string[] {
  const entries = attempt(() => readdirSync(path, { withFileTypes: true }), []);
  const below = entries.filter((entry) => entry.isDirectory());
  return [path, ...below.flatMap((entry) => withBelow(join(path, entry.name)))];
}

function pidsOf(path: string): number[] {
  return attempt(() => readFileSync(join(path, 'cgroup.procs'), 'utf8'), '')
    .split('\n')
    .filter(Boolean)
    .map(Number);
}

function attempt<T>(action: () => T, otherwise: T): T {
  try {
    return action();
  } catch {
    return otherwise;
  }
}
