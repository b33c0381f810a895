import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JobReport } from '@muster/agent/jobs/job-record.js';
import { serveLocalApi, type LocalApi } from '@muster/agent/jobs/local-api.js';
import { identify } from '@muster/agent/jobs/process-tree.js';
import { JobSupervisor } from '@muster/agent/jobs/supervisor.js';
import { reason } from '@muster/shared/reasons.js';
import { leftRunCgroups } from '@muster/agent/jobs/cgroup.js';
import {
  delegatedCgroup,
  exists,
  permitFor,
  pidIn,
  siteStatus,
  startProcess,
  type Running,
  processOf,
} from './fixtures.js';
import { FakeClock } from '../../support/fake-clock.js';
import { eventually } from '../../support/eventually.js';

const why = reason('ATTESTATION_EXPIRED');
const cgroupParent = delegatedCgroup();

/** A process in a session of its own that ignores SIGTERM and whose parent is gone; it writes its number to a file. */
const daemon = (file: string): string =>
  `(setsid sh -c 'trap "" TERM; echo $$ > ${file}; while :; do sleep 1; done' &)`;

let directory: string;
let socketPath: string;
let supervisor: JobSupervisor;
let api: LocalApi;
let reports: JobReport[];
let started: Running[];

const file = (name: string): string => join(directory, name);
const run = (name: 'wrapper' | 'agent', ...args: string[]): Running => {
  const running = startProcess(name, args);
  started.push(running);
  return running;
};
const runJob = (jobId: string, script: string, waitMs = 0): Running =>
  run('wrapper', socketPath, jobId, String(waitMs), 'sh', '-c', script);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'muster-jobs-'));
  socketPath = file('agent/agent.sock');
  reports = [];
  started = [];
  supervisor = new JobSupervisor({ instance: `t${process.pid}`, graceMs: 200 });
  supervisor.onReport((report) => reports.push(report));
  api = await serveLocalApi({ socketPath, supervisor, status: () => siteStatus });
});

afterEach(async () => {
  await supervisor.stopAll(0, [why]);
  api.close();
  for (const { child } of started) child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

describe('a permitted command', () => {
  it('runs with the streams and the environment of its supervisor and hands its exit status on', async () => {
    supervisor.permit(permitFor('job-1', 3n));
    const command = runJob('job-1', 'echo "$MUSTER_JOB_ID $MUSTER_GENERATION $MUSTER_PERMIT"; exit 7');
    expect(await command.ended).toBe(7);
    expect(command.output()).toBe('job-1 3 signed.permit.jwt\n');
    expect(reports).toEqual([
      { jobId: 'job-1', generation: 3n, state: 'RUNNING', exitCode: 0, reasons: [] },
      { jobId: 'job-1', generation: 3n, state: 'FAILED', exitCode: 7, reasons: [] },
    ]);
    expect(supervisor.running()).toEqual([]);
  });

  it('ends with 128 + signal when a signal ends it', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    expect(await runJob('job-1', 'kill -KILL $$').ended).toBe(137);
    expect(reports.at(-1)).toMatchObject({ state: 'FAILED', exitCode: 137 });
  });

  it('gets the signals that its supervisor gets', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    const script = `trap 'exit 9' TERM; echo $$ > ${file('pid')}; while :; do sleep 0.05; done`;
    const command = runJob('job-1', script);
    await pidIn(file('pid'));
    command.child.kill('SIGTERM');
    expect(await command.ended).toBe(9);
  });

  it('leaves nothing behind when it exits', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    const command = runJob(
      'job-1',
      `${daemon(file('daemon'))}; while [ ! -s ${file('daemon')} ]; do sleep 0.02; done`,
    );
    const pid = await pidIn(file('daemon'));
    expect(await command.ended).toBe(0);
    expect(exists(pid)).toBe(false);
    expect(reports.at(-1)).toMatchObject({ state: 'COMPLETED', exitCode: 0 });
  });

  it('that cannot be started is reported with the reason', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    const command = run('wrapper', socketPath, 'job-1', '0', '/does/not/exist');
    expect(await command.ended).toBe(127);
    expect(command.output()).toContain('JOB_COMMAND_NOT_FOUND');
    expect(reports).toMatchObject([{ state: 'FAILED', reasons: [{ code: 'JOB_COMMAND_NOT_FOUND' }] }]);
  });
});

describe('a command that is not permitted', () => {
  it('is not started, and says why', async () => {
    const command = runJob('job-1', `echo 1 > ${file('ran')}`);
    expect(await command.ended).toBe(75);
    expect(command.output()).toContain('JOB_NOT_ADMITTED');
    expect(reports).toEqual([]);
  });

  it('starts when the permit arrives while it waits', async () => {
    const command = runJob('job-1', 'exit 0', 60_000);
    await eventually(() => command.child.pid !== undefined, 'a supervisor');
    supervisor.permit(permitFor('job-1', 1n));
    expect(await command.ended).toBe(0);
  });

  it('is not started after the stop that took the permit back', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    expect(await supervisor.stop('job-1', 1n, 0, [why])).toEqual({ stopped: true });
    supervisor.permit(permitFor('job-1', 1n));
    const command = runJob('job-1', 'exit 0');
    expect(await command.ended).toBe(75);
    expect(command.output()).toContain('ATTESTATION_EXPIRED');
  });

  it('is not started a second time under the same permit', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    await runJob('job-1', 'exit 0').ended;
    supervisor.permit(permitFor('job-1', 1n));
    expect(await runJob('job-1', 'exit 0').ended).toBe(75);
  });

  it('is not started while the job already runs', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    runJob('job-1', `echo $$ > ${file('pid')}; sleep 1000`);
    await pidIn(file('pid'));
    const second = runJob('job-1', 'exit 0', 60_000);
    expect(await second.ended).toBe(75);
    expect(second.output()).toContain('JOB_STATE');
  });

  it('waits for an agent that is not there yet', async () => {
    const socket = file('late/agent.sock');
    const command = run('wrapper', socket, 'job-1', '60000', 'sh', '-c', 'exit 6');
    await eventually(() => existsSync(`/proc/${command.child.pid}`), 'a supervisor');
    const agent = run('agent', socket, 'job-1', 'late');
    await eventually(() => agent.output().includes('ready'), 'an agent');
    expect(await command.ended).toBe(6);
  });

  it('is not started without an agent', async () => {
    const command = run('wrapper', file('agent/other.sock'), 'job-1', '0', 'true');
    expect(await command.ended).toBe(75);
    expect(command.output()).toContain('AGENT_UNREACHABLE');
  });
});

describe('a stop', () => {
  it('gives the command its grace', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    const script = `trap 'echo saved; exit 3' TERM; echo $$ > ${file('pid')}; while :; do sleep 0.05; done`;
    const command = runJob('job-1', script);
    await pidIn(file('pid'));
    expect(await supervisor.stop('job-1', 1n, 10_000, [why])).toEqual({ stopped: true });
    expect(await command.ended).toBe(3);
    expect(command.output()).toContain('saved');
    expect(command.output()).toContain('ATTESTATION_EXPIRED');
    expect(reports.at(-1)).toEqual({
      jobId: 'job-1',
      generation: 1n,
      state: 'STOPPED',
      exitCode: 0,
      reasons: [why],
    });
  });

  it('resolves only when daemons that ignore SIGTERM are gone as well', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    runJob('job-1', `${daemon(file('daemon'))}; echo $$ > ${file('pid')}; sleep 1000`);
    const pids = [await pidIn(file('daemon')), await pidIn(file('pid'))];
    expect(pids.map(exists)).toEqual([true, true]);
    expect(await supervisor.stop('job-1', 1n, 200, [why])).toEqual({ stopped: true });
    expect(pids.map(exists)).toEqual([false, false]);
    expect(supervisor.running()).toEqual([]);
  });

  it('ends processes that are halted or that cleared their environment', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    const bare = `env -i sh -c 'echo $$ > ${file('bare')}; kill -STOP $$; sleep 1000'`;
    runJob('job-1', `${bare} & echo $$ > ${file('pid')}; wait`);
    const pids = [await pidIn(file('bare')), await pidIn(file('pid'))];
    expect(await supervisor.stop('job-1', 1n, 200, [why])).toEqual({ stopped: true });
    expect(pids.map(exists)).toEqual([false, false]);
  });

  it('leaves a newer generation alone', async () => {
    supervisor.permit(permitFor('job-1', 2n));
    runJob('job-1', `echo $$ > ${file('pid')}; sleep 1000`);
    const pid = await pidIn(file('pid'));
    expect(await supervisor.stop('job-1', 1n, 0, [why])).toEqual({ stopped: true });
    expect(exists(pid)).toBe(true);
    expect(supervisor.running()).toEqual([{ jobId: 'job-1', generation: 2n }]);
  });

  it('that comes right after permission leaves nothing running', async () => {
    for (const job of ['job-1', 'job-2', 'job-3']) {
      supervisor.permit(permitFor(job, 1n));
      const command = runJob(job, `echo $$ > ${file(job)}; sleep 1000`);
      await eventually(() => supervisor.running().length > 0, 'permission');
      expect(await supervisor.stop(job, 1n, 100, [why])).toEqual({ stopped: true });
      const started = existsSync(file(job)) && readFileSync(file(job), 'utf8') !== '';
      if (started) expect(exists(await pidIn(file(job)))).toBe(false);
      expect([75, 137, 143]).toContain(await command.ended);
      expect(reports.at(-1)).toMatchObject({ jobId: job, state: 'STOPPED' });
    }
  });

  it.each([
    ['as long as the server allows, to what it ends by itself', 1_000, 1_000],
    ['as long as it is configured to where the server allows more', 900_000, 600_000],
  ])('gives %s', async (_what, limitMs, graceMs) => {
    const graces: number[] = [];
    const endRun = async (_target: unknown, ms: number): Promise<[]> => {
      graces.push(ms);
      return [];
    };
    const own = new JobSupervisor({ instance: `g${process.pid}`, graceMs: 600_000, endRun });
    own.limitGrace(limitMs);
    own.permit(permitFor('job-1', 1n));
    const itself = identify(process.pid);
    if (itself === undefined) throw new Error('this process is not there');
    const { signal } = new AbortController();
    const grant = await own.start({
      jobId: 'job-1',
      waitMs: 0,
      supervisor: itself,
      signal,
      onStop: (ms) => graces.push(ms),
    });
    expect(grant.graceMs).toBe(graceMs);
    const stopped = own.stop('job-1', 1n, undefined, [why]);
    grant.exited({ exitCode: 0, reasons: [] });
    expect(await stopped).toEqual({ stopped: true });
    expect(graces.slice(0, 2)).toEqual([graceMs, graceMs]);
  });

  it('of everything ends every job', async () => {
    for (const job of ['job-1', 'job-2']) {
      supervisor.permit(permitFor(job, 1n));
      runJob(job, `echo $$ > ${file(job)}; sleep 1000`);
    }
    const pids = await Promise.all(['job-1', 'job-2'].map((job) => pidIn(file(job))));
    await eventually(() => reports.length === 2, 'two reports');
    expect(await supervisor.stopAll(0, [why])).toEqual({ stopped: true });
    expect(pids.map(exists)).toEqual([false, false]);
  });
});

(cgroupParent === undefined ? describe.skip : describe)('where runs have cgroups', () => {
  it('a stop ends what shed every other trace of its run', async () => {
    const options = { instance: `c${process.pid}`, cgroupParent, graceMs: 200 };
    const withCgroups = new JobSupervisor(options);
    const socket = file('cgroups/agent.sock');
    const served = await serveLocalApi({
      socketPath: socket,
      supervisor: withCgroups,
      status: () => siteStatus,
    });
    withCgroups.permit(permitFor('job-1', 1n));
    const script = `(setsid env -i sh -c 'echo $$ > ${file('bare')}; exec sleep 1000' &); sleep 1000`;
    run('wrapper', socket, 'job-1', '0', 'sh', '-c', script);
    const pid = await pidIn(file('bare'));
    expect(await withCgroups.stop('job-1', 1n, 200, [why])).toEqual({ stopped: true });
    expect(exists(pid)).toBe(false);
    expect(leftRunCgroups(cgroupParent ?? '', `c${process.pid}`)).toEqual([]);
    served.close();
  });
});

describe('a newer generation', () => {
  it('replaces the one that runs', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    const first = runJob('job-1', `echo $$ > ${file('first')}; sleep 1000`);
    const pid = await pidIn(file('first'));
    await eventually(() => reports.length === 1, 'a report');
    supervisor.permit(permitFor('job-1', 2n));
    const second = runJob('job-1', `exit 0`, 60_000);
    expect(await second.ended).toBe(0);
    expect(exists(pid)).toBe(false);
    expect(await first.ended).toBe(143);
    expect(reports.map(({ generation, state }) => [generation, state])).toEqual([
      [1n, 'RUNNING'],
      [1n, 'STOPPED'],
      [2n, 'RUNNING'],
      [2n, 'COMPLETED'],
    ]);
  });
});

describe('what fails closed', () => {
  it('a process that cannot be ended: the stop is not confirmed, the job still counts, and it is tried again', async () => {
    const clock = new FakeClock();
    const immortal = [{ pid: 1, startTime: '0' }];
    let ended = false;
    const stubborn = new JobSupervisor({
      instance: 'stubborn',
      clock,
      endRun: async () => (ended ? [] : immortal),
    });
    const seen: JobReport['state'][] = [];
    stubborn.onReport(({ state }) => seen.push(state));
    stubborn.permit({ ...permitFor('job-1', 1n), expiresAt: new Date('2027-01-01T00:00:00Z') });
    const { signal } = new AbortController();
    const request = {
      jobId: 'job-1',
      waitMs: 0,
      supervisor: processOf(process.ppid),
      signal,
      onStop: () => undefined,
    };
    const grant = await stubborn.start(request);
    grant.exited({ exitCode: 0, reasons: [] });
    expect(await stubborn.stop('job-1', 1n, 0, [why])).toMatchObject({
      stopped: false,
      reasons: [{ code: 'JOB_STOP_INCOMPLETE' }],
    });
    expect(stubborn.running()).toEqual([{ jobId: 'job-1', generation: 1n }]);
    expect(seen).toEqual([]);
    ended = true;
    await clock.advance(5_000);
    await grant.over;
    expect(stubborn.running()).toEqual([]);
    expect(seen).toEqual(['COMPLETED']);
  });

  it('a second agent on the same socket: it does not start, and the jobs of the first go on', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    runJob('job-1', `echo $$ > ${file('pid')}; sleep 1000`);
    const pid = await pidIn(file('pid'));
    const second = run('agent', socketPath, '', `t${process.pid}`);
    expect(await second.ended).not.toBe(0);
    expect(second.output()).toContain('AGENT_RUNNING');
    expect(exists(pid)).toBe(true);
  });

  it('the supervisor of a command is killed: the command and its daemons end', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    const command = runJob('job-1', `${daemon(file('daemon'))}; echo $$ > ${file('pid')}; sleep 1000`);
    const pids = [await pidIn(file('daemon')), await pidIn(file('pid'))];
    command.child.kill('SIGKILL');
    await eventually(() => reports.some(({ state }) => state === 'FAILED'), 'a report');
    expect(pids.map(exists)).toEqual([false, false]);
    expect(reports.at(-1)?.reasons).toMatchObject([{ code: 'JOB_SUPERVISION_LOST' }]);
  });

  it('the agent is killed: the command and its daemons end', async () => {
    const socket = file('other/agent.sock');
    const agent = run('agent', socket, 'job-1', 'o1');
    await eventually(() => agent.output().includes('ready'), 'an agent');
    const command = run(
      'wrapper',
      socket,
      'job-1',
      '0',
      'sh',
      '-c',
      `${daemon(file('daemon'))}; echo $$ > ${file('pid')}; sleep 1000`,
    );
    const pids = [await pidIn(file('daemon')), await pidIn(file('pid'))];
    agent.child.kill('SIGKILL');
    expect(await command.ended).toBe(143);
    expect(command.output()).toContain('AGENT_UNREACHABLE');
    expect(pids.map(exists)).toEqual([false, false]);
  });

  it('agent and supervisor are killed: the next agent ends what they left', async () => {
    const socket = file('other/agent.sock');
    const agent = run('agent', socket, 'job-1', 'o2');
    await eventually(() => agent.output().includes('ready'), 'an agent');
    const command = run('wrapper', socket, 'job-1', '0', 'sh', '-c', `echo $$ > ${file('pid')}; sleep 1000`);
    const pid = await pidIn(file('pid'));
    command.child.kill('SIGSTOP');
    agent.child.kill('SIGKILL');
    await agent.ended;
    command.child.kill('SIGKILL');
    await command.ended;
    expect(exists(pid)).toBe(true);
    const next = run('agent', socket, '', 'o2');
    await eventually(() => next.output().includes('ready'), 'the next agent');
    expect(exists(pid)).toBe(false);
  });

  it('a supervisor that hangs is killed, so that a stop is bounded', async () => {
    supervisor.permit(permitFor('job-1', 1n));
    const command = runJob('job-1', `echo $$ > ${file('pid')}; sleep 1000`);
    const pid = await pidIn(file('pid'));
    await eventually(() => reports.length === 1, 'a report');
    command.child.kill('SIGSTOP');
    expect(await supervisor.stop('job-1', 1n, 100, [why])).toEqual({ stopped: true });
    expect(exists(pid)).toBe(false);
    expect(await command.ended).toBe('SIGKILL');
  });
});
