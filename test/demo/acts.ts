import { strict as assert } from 'node:assert';
import type { GpuMachine } from '../devices/nvml/gpus.js';
import type { LiveFederation } from '../support/live/federation.js';
import { inState, jobIs, type JobView, type ParticipantView } from '../support/live/views.js';
import type { JobRun, LiveSite } from '../support/live/site.js';
import { eventually, isAlive, residentMib } from '../support/live/wait.js';
import type { Story } from './story.js';

/** What the acts of the demo share. */
export interface Stage {
  readonly story: Story;
  readonly federation: LiveFederation;
  /** The GPUs of site-1, where this machine can simulate them. */
  readonly gpus: GpuMachine | undefined;
}

/** Three sites enrol and prove themselves. */
export async function enrol({ story, federation, gpus }: Stage): Promise<readonly LiveSite[]> {
  story.act('Three sites prove themselves, and so does the server');
  const since = story.now();
  const sites = await Promise.all([
    federation.addSite('site-1', { moreAttesters: gpus === undefined ? [] : [attesterOf(gpus)] }),
    federation.addSite('site-2'),
    federation.addSite('site-3', { proxied: true }),
  ]);
  await story.claim(
    'site-1, site-2 and site-3 enrol, and their evidence makes them trusted',
    () => Promise.all(sites.map(({ name }) => inState(federation, name, 'TRUSTED'))),
    { since, remember: 'three agents started -> three trusted sites' },
  );
  await story.claim('the server is trusted by its own evidence, not by exemption', async () => {
    const { participant } = await federation.ask<ParticipantView>('participant', 'get', 'server');
    assert.equal(participant.state, 'PARTICIPANT_STATE_TRUSTED');
    assert.notEqual(participant.exempt, true);
  });
  await story.claim('every status says that the devices are SIMULATED', async () => {
    assert.match((await federation.muster('status')).out, /^SIMULATED/);
  });
  return sites;
}

/** A job is admitted and runs as real processes. */
export async function run(
  { story, federation }: Stage,
  jobId: string,
  sites: readonly LiveSite[],
): Promise<readonly JobRun[]> {
  const names = sites.map(({ name }) => name).join(',');
  await federation.muster('job', 'submit', jobId, '--site', names);
  const where = sites.length === 1 ? '1 site' : `${sites.length} sites`;
  await story.claim(
    `${jobId} is admitted: the server and each site have verified the server and all sites`,
    async () => {
      const { code, out } = await federation.muster('job', 'admit', jobId);
      assert.equal(code, 0, out);
    },
    { remember: `${jobId} submitted -> admitted by the server and ${where}` },
  );
  const runs = sites.map((site) => site.run(jobId));
  await story.claim(`${jobId} runs: ${runs.length * 2} processes at ${where}`, async () => {
    await Promise.all(runs.map((each) => each.running()));
    await jobIs(federation, jobId, 'RUNNING');
  });
  return runs;
}

/** A job with custom code is blocked. */
export async function byoc({ story, federation }: Stage): Promise<void> {
  story.act('Custom code stays out');
  await story.claim('a job that brings its own code is blocked at submission: JOB_BYOC', async () => {
    const { code } = await federation.muster('job', 'submit', 'job-byoc', '--site', 'site-1', '--byoc');
    assert.equal(code, 1);
    const { job } = await federation.ask<JobView>('job', 'get', 'job-byoc');
    assert.equal(job.state, 'JOB_STATE_BLOCKED');
    assert.equal(job.reasons?.[0]?.code, 'JOB_BYOC');
  });
}

/** A site's image changes while a job runs. */
export async function drift(
  { story, federation }: Stage,
  drifting: LiveSite,
  runs: readonly JobRun[],
): Promise<void> {
  story.act(`${drifting.name} boots another image; nobody tells the server`);
  const since = story.now();
  drifting.device.drift();
  await story.claim(
    `the next verification quarantines ${drifting.name}: its measurement is not allowed`,
    async () => {
      const { reasons } = await inState(federation, drifting.name, 'QUARANTINED');
      assert.ok(reasons?.some(({ code }) => code.startsWith('SNP_MEASUREMENT')));
    },
    { since, remember: 'another image -> quarantine by the next scheduled verification (every 10 s)' },
  );
  await story.claim(
    'job-1 has no process left at any of the three sites',
    () => Promise.all(runs.map((each) => each.gone())),
    { since, remember: 'another image -> last process of job-1 gone at three sites' },
  );
  await story.claim('job-1 is stopped, and every site has confirmed it', () =>
    jobIs(federation, 'job-1', 'STOPPED'),
  );
  await story.claim(`a dry run says why a job with ${drifting.name} would be blocked`, async () => {
    const { code, out } = await federation.muster('job', 'dry-run', '--site', `site-1,${drifting.name}`);
    assert.equal(code, 1);
    assert.match(out, /PARTICIPANT_QUARANTINED {2}site-2/);
  });
}

/** A site loses its way to the server while a job runs. */
export async function cutOff(
  { story, federation }: Stage,
  cut: LiveSite,
  runs: readonly JobRun[],
): Promise<void> {
  story.act(`The cable of ${cut.name} is cut`);
  const since = story.now();
  cut.way.cut();
  const own = runs.filter(({ site }) => site === cut.name);
  const others = runs.filter(({ site }) => site !== cut.name);
  await story.claim(
    `${cut.name} ends its own processes: no word from the server, no lease, no job`,
    async () => {
      await Promise.all(own.map((each) => each.gone()));
      await eventually('a log of the lease that was lost', () => /lease\.lost/.test(cut.agent.output()));
    },
    { since, remember: 'cable cut -> processes gone through the lease of the site itself' },
  );
  await story.claim(
    'the server counts it as silent, and the job ends at the other site too',
    async () => {
      await Promise.all(others.map((each) => each.gone()));
      await inState(federation, cut.name, 'SILENT');
    },
    { since, remember: 'cable cut -> job ended at the other site' },
  );
}

/** The job whose site was cut off has ended for certain: that site's lease is over. */
export async function stopped({ story, federation }: Stage, jobId: string): Promise<void> {
  await story.claim(
    `${jobId} is stopped at every site: the lease of the silent one is over for certain`,
    () => jobIs(federation, jobId, 'STOPPED'),
  );
}

/** Both sites are mended. */
export async function mend({ story, federation }: Stage, drifted: LiveSite, cut: LiveSite): Promise<void> {
  story.act('Both sites are mended');
  cut.way.heal();
  await story.claim(`${cut.name} comes back by itself`, () => inState(federation, cut.name, 'TRUSTED'), {
    remember: 'cable mended -> trusted again',
  });
  drifted.device.repair();
  await federation.muster('participant', 'readmit', drifted.name, '--comment', 'the image is right again');
  await story.claim(
    `${drifted.name} is readmitted, and trusted as soon as it has proven itself afresh`,
    () => inState(federation, drifted.name, 'TRUSTED'),
    { remember: 'readmission -> trusted by fresh evidence' },
  );
}

/** A site's GPUs leave their confidential mode while a job runs. */
export async function exposeGpus(stage: Stage, gpus: GpuMachine, exposed: LiveSite): Promise<void> {
  const { story, federation } = stage;
  story.act(
    `The GPUs of ${exposed.name} are taken out of confidential mode; its CPU proves itself as before`,
  );
  const runs = await run(stage, 'job-gpu', [exposed]);
  const since = story.now();
  gpus.switchOff();
  await story.claim(
    `the next verification quarantines ${exposed.name}: confidential computing is off on its GPUs`,
    async () => {
      const { reasons } = await inState(federation, exposed.name, 'QUARANTINED');
      assert.ok(reasons?.some(({ code }) => code === 'NV_CONFIDENTIAL_COMPUTING_OFF'));
    },
  );
  await story.claim('job-gpu has no process left', () => Promise.all(runs.map((each) => each.gone())), {
    since,
    remember: 'GPUs out of confidential mode -> last process of job-gpu gone',
  });
  gpus.repair();
  await federation.muster('participant', 'readmit', exposed.name, '--comment', 'the GPUs are right again');
  await story.claim(`${exposed.name} is readmitted, and trusted once CPU and GPUs are proven afresh`, () =>
    inState(federation, exposed.name, 'TRUSTED'),
  );
}

function attesterOf({ library }: GpuMachine): object {
  return { namespace: 'x-nv-gpu', library };
}

/** Notes what the programs take of the machine's memory. */
export function weigh({ story, federation }: Stage, sites: readonly LiveSite[]): void {
  const agents = sites.map(({ agent }) => residentMib(agent.pid));
  story.note('memory of the server with three agents', `${residentMib(federation.server.pid)} MiB`);
  story.note('memory of an agent, the largest of three', `${Math.max(...agents)} MiB`);
}

/** Everything ends in order. */
export async function shutdown(
  { story, federation }: Stage,
  sites: readonly LiveSite[],
  runs: readonly JobRun[],
): Promise<void> {
  story.act('The operator shuts the system down');
  const since = story.now();
  await story.claim('every site confirms that its jobs and its agent have ended', async () => {
    const { code, out } = await federation.muster('shutdown', '--yes', '--deadline', '20s');
    assert.equal(code, 0, out);
  });
  await story.claim(
    'jobs, agents and server are gone',
    async () => {
      await Promise.all(runs.map((each) => each.gone()));
      const pids = [federation.server, ...sites.map(({ agent }) => agent)].map(({ pid }) => pid);
      await eventually('no agent and no server', () => !pids.some(isAlive));
    },
    { since, remember: 'shutdown -> jobs, agents and server gone' },
  );
  await story.claim('the server has ended well, and so has every agent', async () => {
    const ends = await Promise.all([federation.server.ended, ...sites.map(({ agent }) => agent.ended)]);
    assert.deepEqual(
      ends.map(({ code }) => code),
      ends.map(() => 0),
    );
  });
}
