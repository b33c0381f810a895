import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../support/eventually.js';
import { createRunCgroup, ownCgroup } from '@muster/agent/jobs/cgroup.js';
import type { Permit } from '@muster/agent/jobs/job-record.js';
import { identify, type ProcessIdentity } from '@muster/agent/jobs/process-tree.js';
import type { SiteStatus } from '@muster/agent/jobs/local-api.js';

/** A permit that has not expired. */
export function permitFor(jobId: string, generation: bigint): Permit {
  return { jobId, generation, permit: 'signed.permit.jwt', expiresAt: new Date(Date.now() + 3_600_000) };
}

/** The status of a site whose session is open. */
export const siteStatus: SiteStatus = {
  participant: 'site-1',
  trustDomain: 'example.org',
  agentVersion: '0',
  session: 3,
  leaseLeft: undefined,
  attestedUntil: undefined,
  reasons: [],
};

/** A process with what it wrote and how it ended. */
export interface Running {
  readonly child: ChildProcess;
  readonly output: () => string;
  /** Resolves to the exit status, or the name of the signal. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

/** Starts a process of this folder, built. */
export function startProcess(name: 'wrapper' | 'agent', args: readonly string[]): Running {
  const script = fileURLToPath(new URL(`../../dist/agent/jobs/${name}-process.js`, import.meta.url));
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  }
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 0)),
  );
  return { child, output: () => output, ended };
}

/** The number that a process wrote into a file, once it has. */
export async function pidIn(file: string): Promise<number> {
  await eventually(
    () => existsSync(file) && readFileSync(file, 'utf8').endsWith('\n'),
    `a number in ${file}`,
  );
  return Number(readFileSync(file, 'utf8'));
}

/** A process that runs. */
export function processOf(pid: number | undefined): ProcessIdentity {
  const identity = identify(pid ?? 0);
  if (identity === undefined) throw new Error(`there is no process ${pid}`);
  return identity;
}

/** Whether a process exists; a zombie does not count. */
export function exists(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/** The cgroup v2 directory of this process if it may make others below it. */
export function delegatedCgroup(): string | undefined {
  const parent = ownCgroup();
  const probe = parent === undefined ? undefined : createRunCgroup(parent, `probe-${process.pid}`);
  probe?.remove();
  return probe === undefined ? undefined : parent;
}
