import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

/** How long to wait for what should be there in a moment, on a machine that has other things to do, ms. */
export const patienceMs = 45_000;
/** How often something on this machine is looked at, ms. */
const pollMs = 25;
/** How often a server is asked, ms: below what it allows one caller. */
export const callPollMs = 100;

/**
 * Asks again until there is an answer other than undefined or false; real processes give no other sign.
 * Throws after the time with what was waited for, and with the last error that asking ran into.
 */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = patienceMs,
  intervalMs = pollMs,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  do {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  } while (performance.now() < end);
  throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: last });
}

/** Whether a process is there; one that has ended but was not collected yet is not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !isZombie(pid);
}

/** A process's resident memory, MiB. */
export function residentMib(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kib) / 1024);
}

function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false;
  }
}
