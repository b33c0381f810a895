import { cpSync, rmSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { jobIs, type JobView } from '../../support/live/views.js';
import { callPollMs, eventually } from '../../support/live/wait.js';
import { logLines } from './evidence.js';
import { leaseBoundMs, stopBoundMs } from './fault-federation.js';
import { late, type Outcome, type Story } from './story.js';

/** A process or a store that fails at a named point. */
export interface Crash {
  readonly name: string;
  readonly suffer: (story: Story) => Promise<Outcome>;
  /** True when the federation cannot go on. */
  readonly last?: boolean;
}

/** Every crash; the later ones end their federation. */
export const crashes: readonly Crash[] = [
  { name: 'server killed between commit and send', suffer: betweenCommitAndSend },
  { name: 'server killed between send and acknowledgement', suffer: beforeAcknowledgement },
  { name: 'agents killed between receipt and acknowledgement', suffer: agentsBeforeAcknowledgement },
  { name: 'server killed while sites judge a job', suffer: whileChecking },
  { name: 'server killed for longer than a lease', suffer: serverGone },
  { name: 'server stopped by SIGSTOP for longer than a lease', suffer: serverStopped },
  { name: 'server told to end while its device keeps a thread in the kernel', suffer: serverDeviceBlocks },
  { name: 'database restored from a copy', suffer: databaseRestored },
  { name: 'server killed between enrolment and reply', suffer: serverDuringEnrolment },
  { name: 'agent killed between enrolment and reply', suffer: agentDuringEnrolment },
  { name: 'agents killed before a permitted job starts', suffer: beforeStart },
  { name: 'server killed during a shutdown', suffer: duringShutdown, last: true },
];

const now = (): number => performance.now();

/** The commit has happened when the call is answered; the ways hold every frame. */
async function betweenCommitAndSend(story: Story): Promise<Outcome> {
  const job = await story.run();
  story.hold('down');
  const gone = story.gone(job.runs, await story.stop(job.jobId), leaseBoundMs);
  await story.restartServer();
  story.healBroken();
  return story.judge(job, leaseBoundMs, gone);
}

/** The processes are gone, so the stop has arrived; the ways hold every acknowledgement. */
async function beforeAcknowledgement(story: Story): Promise<Outcome> {
  const job = await story.run();
  story.hold('up');
  const gone = story.gone(job.runs, await story.stop(job.jobId), stopBoundMs);
  await gone;
  await story.restartServer();
  story.healBroken();
  return story.judge(job, stopBoundMs, gone);
}

async function agentsBeforeAcknowledgement(story: Story): Promise<Outcome> {
  const job = await story.run();
  story.hold('up');
  const gone = story.gone(job.runs, await story.stop(job.jobId), stopBoundMs);
  await gone;
  await killAgents(story);
  story.healBroken();
  for (const { live } of story.sites) live.startAgent();
  return story.judge(job, stopBoundMs, gone);
}

async function whileChecking(story: Story): Promise<Outcome> {
  const { federation, sites } = story;
  const { live } = federation;
  const jobId = story.nextJob();
  await live.muster('job', 'submit', jobId, '--site', sites.map(({ name }) => name).join(','));
  story.hold('up');
  const asked = live.muster('job', 'admit', jobId);
  const checking = async (): Promise<boolean> =>
    (await live.ask<JobView>('job', 'get', jobId)).job.state === 'JOB_STATE_CHECKING';
  await eventually('the check to begin', checking, 10_000, callPollMs);
  await story.restartServer();
  await asked;
  story.healBroken();
  const { reasons = [] } = await jobIs(live, jobId, 'BLOCKED');
  const interrupted = reasons.some(({ code }) => code === 'JOB_CHECK_INTERRUPTED');
  await federation.worksAgain(story.nextJob(), ...sites);
  return {
    violations: [
      ...(interrupted ? [] : ['an answer was trusted that was not seen']),
      ...(await federation.violations()),
    ],
  };
}

async function serverGone(story: Story): Promise<Outcome> {
  const job = await story.run();
  const from = now();
  await story.federation.live.server.kill();
  const gone = story.gone(job.runs, from, leaseBoundMs);
  await gone;
  await story.federation.live.startServer();
  return story.judge(job, leaseBoundMs, gone);
}

async function serverStopped(story: Story): Promise<Outcome> {
  const job = await story.run();
  const { pid } = story.federation.live.server;
  process.kill(pid, 'SIGSTOP');
  const gone = story.gone(job.runs, now(), leaseBoundMs);
  await gone;
  process.kill(pid, 'SIGCONT');
  return story.judge(job, leaseBoundMs, gone);
}

/** The server must end without being killed, so that another process can take its place. */
async function serverDeviceBlocks(story: Story): Promise<Outcome> {
  const { live } = story.federation;
  const job = await story.run();
  live.serverDevice.misbehave('block');
  await live.muster('verify', 'server');
  const { code, signal } = await live.server.stop();
  live.serverDevice.repair();
  await live.startServer();
  await story.connected();
  const gone = story.gone(job.runs, await story.stop(job.jobId), leaseBoundMs);
  const { violations, ...outcome } = await story.judge(job, leaseBoundMs, gone);
  return {
    ...outcome,
    violations: [...violations, ...(code === 0 ? [] : [`the server ended with ${code ?? signal}`])],
  };
}

/** The copy is of a time before the job, so the restored server never permitted what runs. */
async function databaseRestored(story: Story): Promise<Outcome> {
  const { federation } = story;
  const copy = `${federation.dataDirectory}.copy`;
  await federation.live.server.stop();
  cpSync(federation.dataDirectory, copy, { recursive: true });
  await federation.live.startServer();
  await story.connected();
  const { runs } = await story.run();
  await federation.live.server.kill();
  rmSync(federation.dataDirectory, { recursive: true });
  cpSync(copy, federation.dataDirectory, { recursive: true });
  federation.forgetCommands();
  const gone = story.gone(runs, now(), leaseBoundMs);
  await federation.live.startServer();
  const stoppedAfterMs = await gone;
  await federation.worksAgain(story.nextJob(), ...story.sites);
  const violations = [...late(stoppedAfterMs, leaseBoundMs), ...(await federation.violations())];
  return { boundMs: leaseBoundMs, stoppedAfterMs, violations };
}

async function serverDuringEnrolment(story: Story): Promise<Outcome> {
  const { federation } = story;
  const site = await federation.addSite(`late-${story.nextJob()}`);
  site.enrollment.delay(300);
  await federation.enrolled(site.name);
  site.enrollment.break();
  await federation.live.server.kill();
  site.enrollment.heal();
  await federation.live.startServer();
  await federation.worksAgain(story.nextJob(), site);
  return { violations: await federation.violations() };
}

/** The agent's key is lost with it, and the join token is used up: the operator gives it another one. */
async function agentDuringEnrolment(story: Story): Promise<Outcome> {
  const { federation } = story;
  const site = await federation.addSite(`late-${story.nextJob()}`);
  site.enrollment.delay(300);
  await federation.enrolled(site.name);
  await site.live.agent.kill();
  site.enrollment.heal();
  await federation.replaceJoinToken(site);
  site.live.startAgent();
  await federation.worksAgain(story.nextJob(), site);
  return { violations: await federation.violations() };
}

/** The permit was for the processes that died. The job must come to an end without anybody's help. */
async function beforeStart(story: Story): Promise<Outcome> {
  const { federation, sites } = story;
  const jobId = story.nextJob();
  const before = federation.serverOutput.length;
  await federation.admit(jobId, ...sites);
  const permitted = (): boolean => {
    const taken = logLines(federation.serverOutput.slice(before)).filter(
      ({ event, kind, outcome }) =>
        event === 'command.acknowledged' && kind === 'permitJob' && outcome === 'APPLIED',
    );
    return taken.length === sites.length;
  };
  await eventually('every site to acknowledge its permit', permitted);
  await killAgents(story);
  for (const { live } of sites) live.startAgent();
  await federation.ended(jobId);
  await federation.worksAgain(story.nextJob(), ...sites);
  return { violations: await federation.violations() };
}

/** One site's way is cut when the shutdown begins; its agent finds the order at the server that was started again. */
async function duringShutdown(story: Story): Promise<Outcome> {
  const { federation, sites } = story;
  const [near, far] = sites;
  if (near === undefined || far === undefined) throw new Error('this takes two sites');
  const job = await story.run();
  far.session.hold('down');
  const from = now();
  const asked = federation.live.muster('shutdown', '--yes');
  await eventually('the shutdown to begin', () => federation.serverOutput.includes('shutdown.started'));
  const gone = story.gone(job.runs, from, leaseBoundMs);
  await gone;
  await federation.live.server.kill();
  await asked;
  story.healBroken();
  await federation.live.startServer();
  await federation.ended(job.jobId);
  const stoppedAfterMs = await gone;
  const violations = [...late(stoppedAfterMs, leaseBoundMs), ...(await federation.violations())];
  return { boundMs: leaseBoundMs, stoppedAfterMs, violations };
}

async function killAgents({ sites }: Story): Promise<void> {
  await Promise.all(sites.map(({ live }) => live.agent.kill()));
}
