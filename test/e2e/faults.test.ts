import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LiveFederation } from '../support/live/federation.js';
import type { JobRun, LiveSite } from '../support/live/site.js';
import { inState, jobIs, type JobView } from '../support/live/views.js';

describe('faults of real processes', () => {
  let federation: LiveFederation;
  let one: LiveSite;
  let two: LiveSite;

  beforeAll(async () => {
    federation = await LiveFederation.start({ heartbeat: '500ms', lease: '4s' });
    [one, two] = await Promise.all([
      federation.addSite('site-1'),
      federation.addSite('site-2', { proxied: true }),
    ]);
    await Promise.all([inState(federation, 'site-1', 'TRUSTED'), inState(federation, 'site-2', 'TRUSTED')]);
  }, 90_000);
  afterAll(() => federation.close(), 30_000);

  async function run(id: string): Promise<readonly [JobRun, JobRun]> {
    await federation.muster('job', 'submit', id, '--site', 'site-1,site-2');
    expect((await federation.muster('job', 'admit', id)).code).toBe(0);
    const runs = [one.run(id), two.run(id)] as const;
    await Promise.all(runs.map((each) => each.running()));
    await jobIs(federation, id, 'RUNNING');
    return runs;
  }

  it('a killed agent takes the processes of its jobs with it, and comes back with a fresh key', async () => {
    const runs = await run('job-1');
    await one.agent.kill();
    await runs[0].gone();
    await inState(federation, 'site-1', 'SILENT');
    await runs[1].gone();
    await jobIs(federation, 'job-1', 'STOPPED');
    one.startAgent();
    await inState(federation, 'site-1', 'TRUSTED');
  }, 90_000);

  it('a site without a way to the server ends its jobs when its lease is over', async () => {
    const runs = await run('job-2');
    two.way.cut();
    await Promise.all(runs.map((each) => each.gone()));
    const { sites = [] } = await jobIs(federation, 'job-2', 'STOPPED');
    expect(two.agent.output()).toContain('lease.lost');
    expect(sites.find(({ participant }) => participant === 'site-2')).toMatchObject({ endedByLease: true });
    two.way.heal();
    await inState(federation, 'site-2', 'TRUSTED');
  }, 90_000);

  it('a command that ends by itself completes its job', async () => {
    await federation.muster('job', 'submit', 'job-3', '--site', 'site-1');
    expect((await federation.muster('job', 'admit', 'job-3')).code).toBe(0);
    const command = one.runCommand('job-3', 'true');
    expect(await command.ended).toMatchObject({ code: 0 });
    await jobIs(federation, 'job-3', 'COMPLETED');
    await federation.muster('job', 'submit', 'job-4', '--site', 'site-1');
    expect((await federation.muster('job', 'admit', 'job-4')).code).toBe(0);
    expect(await one.runCommand('job-4', 'exit 3').ended).toMatchObject({ code: 3 });
    const { sites = [] } = await jobIs(federation, 'job-4', 'FAILED');
    expect(sites).toMatchObject([{ exitCode: 3 }]);
  }, 90_000);

  it.each(['fail', 'garbage', 'hang'] as const)(
    'a device that gives %s lets no job be admitted once the proof is gone',
    async (mode) => {
      one.device.misbehave(mode);
      await federation.muster('participant', 'quarantine', 'site-1');
      await federation.muster('participant', 'readmit', 'site-1');
      await federation.muster('verify', 'site-1');
      const { code } = await federation.muster('job', 'dry-run', '--site', 'site-1');
      expect(code).toBe(1);
      one.device.repair();
      await federation.muster('participant', 'readmit', 'site-1');
      await federation.muster('verify', 'site-1');
      await inState(federation, 'site-1', 'TRUSTED');
    },
    90_000,
  );

  it('an operator stops a job, at every site and once', async () => {
    const runs = await run('job-5');
    expect((await federation.muster('job', 'stop', 'job-5')).code).toBe(0);
    expect((await federation.muster('job', 'stop', 'job-5')).code).toBe(0);
    await Promise.all(runs.map((each) => each.gone()));
    await jobIs(federation, 'job-5', 'STOPPED');
    const { job } = await federation.ask<JobView>('job', 'get', 'job-5');
    expect(new Set(job.reasons?.map(({ code }) => code))).toEqual(new Set(['JOB_STOPPED_BY_OPERATOR']));
  }, 90_000);
});
