import { performance } from 'node:perf_hooks';
import type { SiteOptions } from '../../support/live/federation.js';
import { isAlive } from '../../support/live/wait.js';
import {
  leaseBoundMs,
  stopBoundMs,
  times,
  type FaultFederation,
  type FaultSite,
} from './fault-federation.js';
import { seeded } from './seeded.js';
import { late, type Outcome } from './story.js';

/** A fault of one site, while a job runs there. */
export interface SiteFault {
  readonly name: string;
  /** Within what time the job's processes are gone. */
  readonly boundMs: number;
  /** Injects it, and says when the proof or the permission was lost, on this process's clock. */
  readonly inject: (site: FaultSite, federation: FaultFederation, jobId: string) => Promise<number> | number;
  readonly heal: (site: FaultSite, federation: FaultFederation) => unknown;
  /** What the site has to be like. */
  readonly options?: SiteOptions;
}

/** How long a supervisor takes to notice that the agent hangs, ms. */
const hangMs = 10_000;
/** How long tokens live here: long enough for a proof, short enough to see one end, ms. */
const tokenMs = 15_000;

const now = (): number => performance.now();
const healWay = ({ session }: FaultSite): void => session.heal();
const restart = ({ live }: FaultSite): void => live.startAgent();

async function killAgent({ live }: FaultSite): Promise<number> {
  const from = now();
  await live.agent.kill();
  return from;
}

/** The job must go on; an operator's stop then has to arrive. */
async function stopAfterHarm(federation: FaultFederation, jobId: string): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 2 * times.leaseMs));
  const from = now();
  await federation.live.muster('job', 'stop', jobId);
  return from;
}

/** Every fault of one site. */
export const siteFaults: readonly SiteFault[] = [
  {
    name: 'agent killed',
    boundMs: stopBoundMs,
    inject: killAgent,
    heal: restart,
  },
  {
    name: 'agent stopped by SIGSTOP',
    boundMs: hangMs + times.graceMs + times.slackMs,
    inject: ({ live }) => {
      process.kill(live.agent.pid, 'SIGSTOP');
      return now();
    },
    heal: ({ live }) => process.kill(live.agent.pid, 'SIGCONT'),
  },
  {
    name: 'partition both ways',
    boundMs: leaseBoundMs,
    inject: ({ session }) => {
      session.hold();
      return now();
    },
    heal: healWay,
  },
  {
    name: 'agent killed that wants a grace of ten minutes',
    options: { grace: '10m' },
    boundMs: stopBoundMs,
    inject: killAgent,
    heal: restart,
  },
  {
    name: 'partition of a site that wants a grace of ten minutes',
    options: { grace: '10m' },
    boundMs: leaseBoundMs,
    inject: ({ session }) => {
      session.hold();
      return now();
    },
    heal: healWay,
  },
  {
    name: 'partition from agent to server',
    boundMs: leaseBoundMs,
    inject: ({ session }) => {
      session.hold('up');
      return now();
    },
    heal: healWay,
  },
  {
    name: 'partition from server to agent',
    boundMs: leaseBoundMs,
    inject: ({ session }) => {
      session.hold('down');
      return now();
    },
    heal: healWay,
  },
  {
    name: 'half-open connection, agent believes',
    boundMs: leaseBoundMs,
    inject: ({ session }) => {
      session.halfOpen('agent');
      return now();
    },
    heal: healWay,
  },
  {
    name: 'half-open connection, server believes',
    boundMs: leaseBoundMs,
    inject: ({ session }) => {
      session.halfOpen('server');
      return now();
    },
    heal: healWay,
  },
  {
    name: 'delay of 300 ms each way, then a stop',
    boundMs: stopBoundMs + leaseBoundMs,
    inject: (site, federation, jobId) => {
      site.session.delay(300);
      return stopAfterHarm(federation, jobId);
    },
    heal: healWay,
  },
  {
    name: 'loss of segments and broken connections, then a stop',
    boundMs: stopBoundMs + leaseBoundMs,
    inject: (site, federation, jobId) => {
      site.session.loseSegments(seeded(1));
      return stopAfterHarm(federation, jobId);
    },
    heal: healWay,
  },
  {
    name: 'connection broken, then a stop',
    boundMs: leaseBoundMs,
    inject: async ({ session }, federation, jobId) => {
      session.break();
      const from = now();
      await federation.live.muster('job', 'stop', jobId);
      return from;
    },
    heal: healWay,
  },
  {
    name: 'device that hangs until the token ends',
    options: { tokenLifetime: `${tokenMs}ms` },
    boundMs: tokenMs + stopBoundMs,
    inject: ({ live }) => {
      live.device.misbehave('hang');
      return now();
    },
    heal: async ({ live, name }, federation) => {
      live.device.repair();
      await federation.live.muster('verify', name);
    },
  },
  {
    name: 'agent told to end while its device keeps a thread in the kernel',
    boundMs: stopBoundMs,
    inject: async ({ live, name }, federation) => {
      live.device.misbehave('block');
      await federation.live.muster('verify', name);
      const from = now();
      const { code, signal } = await live.agent.stop();
      if (code !== 0) throw new Error(`the agent ended with ${code ?? signal}`);
      return from;
    },
    heal: (site) => {
      site.live.device.repair();
      restart(site);
    },
  },
];

/** Runs a job at one site, injects a fault there, and says what became of the job, the site and its next job. */
export async function suffer(
  federation: FaultFederation,
  site: FaultSite,
  { boundMs, inject, heal }: SiteFault,
  name: string,
): Promise<Outcome> {
  const { jobId, runs } = await federation.run(name, site);
  const from = await inject(site, federation, jobId);
  const stoppedAfterMs = Math.max(...(await Promise.all(runs.map((run) => run.goneSince(from, boundMs)))));
  const { state } = await federation.ended(jobId);
  await heal(site, federation);
  await federation.worksAgain(`${name}-after`, site);
  const violations = [
    ...late(stoppedAfterMs, boundMs),
    ...(state === 'JOB_STATE_COMPLETED' ? ['a job that was stopped counts as completed'] : []),
    ...runs.flatMap(({ starts }) => (starts === 1 ? [] : [`the command was started ${starts} times`])),
    ...(runs.some(({ pids }) => pids.some(isAlive)) ? ['a process came back'] : []),
  ];
  return { boundMs, stoppedAfterMs, violations };
}
