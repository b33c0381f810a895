import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LiveFederation } from '../support/live/federation.js';
import type { JobRun, LiveSite } from '../support/live/site.js';
import { inState, jobIs, type JobView, type ParticipantView } from '../support/live/views.js';
import { eventually, isAlive } from '../support/live/wait.js';

/** One story with real processes; each test goes on where the one before it ended. */
describe('the main job', () => {
  let federation: LiveFederation;
  let sites: readonly LiveSite[];
  let runs: readonly JobRun[];
  const siteNames = ['site-1', 'site-2', 'site-3'];

  beforeAll(async () => {
    federation = await LiveFederation.start({ lease: '1m' });
  }, 90_000);
  afterAll(() => federation.close(), 30_000);

  const site = (name: string): LiveSite => {
    const found = sites.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  };
  const submitAndAdmit = async (id: string, names: readonly string[]): Promise<number> => {
    expect((await federation.muster('job', 'submit', id, '--site', names.join(','))).code).toBe(0);
    return (await federation.muster('job', 'admit', id)).code;
  };

  it('trusts sites that enrol and prove themselves', async () => {
    sites = await Promise.all(siteNames.map((name) => federation.addSite(name)));
    await Promise.all(siteNames.map((name) => inState(federation, name, 'TRUSTED')));
    expect((await federation.muster('status')).out).toMatch(/^SIMULATED/);
  }, 90_000);

  it('runs no command of a job that is not admitted', async () => {
    const refused = site('site-1').run('job-unknown', { wait: '1s' });
    expect(await refused.program.ended).toMatchObject({ code: 75 });
    expect(refused.pids).toEqual([]);
    expect(refused.program.output()).toContain('JOB_NOT_ADMITTED');
  });

  it('admits a job and runs it as processes at every site', async () => {
    expect(await submitAndAdmit('job-1', siteNames)).toBe(0);
    runs = sites.map((each) => each.run('job-1'));
    await Promise.all(runs.map((run) => run.running()));
    const { sites: seen = [] } = await jobIs(federation, 'job-1', 'RUNNING');
    expect(seen.map(({ participant }) => participant).toSorted()).toEqual(siteNames);
  }, 90_000);

  it('answers a duplicate admission and a job with custom code with no', async () => {
    expect((await federation.muster('job', 'submit', 'byoc', '--site', 'site-1', '--byoc')).code).toBe(1);
    expect((await federation.muster('job', 'clone', 'byoc', 'byoc-2')).code).toBe(1);
    const { job } = await federation.ask<JobView>('job', 'get', 'byoc-2');
    expect(job).toMatchObject({ state: 'JOB_STATE_BLOCKED', reasons: [{ code: 'JOB_BYOC' }] });
  });

  it('row 14: keeps registry and job over a crash of the server, while processes go on', async () => {
    await federation.server.kill();
    await federation.startServer();
    const { job } = await federation.ask<JobView>('job', 'get', 'job-1');
    expect(job).toMatchObject({ state: 'JOB_STATE_RUNNING', generation: '1' });
    await Promise.all(
      siteNames.map((name) =>
        eventually(`${name} to reconnect`, async () => {
          const { participant } = await federation.ask<ParticipantView>('participant', 'get', name);
          return participant.connected === true && participant.state === 'PARTICIPANT_STATE_TRUSTED';
        }),
      ),
    );
    expect(runs.flatMap(({ pids }) => pids).every(isAlive)).toBe(true);
  }, 90_000);

  it('stops the job at every site when one site proves another image, and quarantines that site', async () => {
    site('site-2').device.drift();
    expect((await federation.muster('verify', 'site-2')).code).toBe(1);
    const { reasons } = await inState(federation, 'site-2', 'QUARANTINED');
    expect(reasons).toEqual(
      expect.arrayContaining([expect.objectContaining({ code: 'SNP_MEASUREMENT_UNKNOWN' })]),
    );
    await Promise.all(runs.map((run) => run.gone()));
    await jobIs(federation, 'job-1', 'STOPPED');
    await Promise.all(runs.map(({ program }) => program.ended));
  }, 90_000);

  it('admits no job with the quarantined site, and others without it', async () => {
    expect(await submitAndAdmit('job-2', ['site-1', 'site-2'])).toBe(1);
    const { job } = await federation.ask<JobView>('job', 'get', 'job-2');
    expect(job.reasons).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ code: 'PARTICIPANT_QUARANTINED', participant: 'site-2' }),
      ]),
    );
    expect(await submitAndAdmit('job-3', ['site-1', 'site-3'])).toBe(0);
  }, 90_000);

  it('trusts the repaired site again after readmission and fresh evidence', async () => {
    site('site-2').device.repair();
    expect((await federation.muster('participant', 'readmit', 'site-2')).code).toBe(0);
    await inState(federation, 'site-2', 'TRUSTED');
    expect((await federation.muster('job', 'admit', 'job-2')).code).toBe(0);
  }, 90_000);

  it('has an audit log whose chain is intact', async () => {
    expect((await federation.muster('audit', 'verify')).code).toBe(0);
  });

  it('shuts down: jobs, then agents, then the server', async () => {
    const last = site('site-1').run('job-3');
    await last.running();
    const { code, out } = await federation.muster('shutdown', '--yes');
    expect({ code, out }).toMatchObject({ code: 0 });
    await last.gone();
    const ends = await Promise.all([federation.server.ended, ...sites.map(({ agent }) => agent.ended)]);
    expect(ends.map((end) => end.code)).toEqual([0, 0, 0, 0]);
  }, 90_000);

  it('has written no token, key or join token to a log or into an argument list', () => {
    const rejoin = sites.map(({ folder }) =>
      readFileSync(join(folder, 'state', 'rejoin-token'), 'utf8').trim(),
    );
    const said = [federation.output, ...federation.started.flatMap(({ args }) => args)].join('\n');
    expect(said).toContain('session.opened');
    for (const secret of [...federation.secrets, ...rejoin]) {
      expect(secret.length).toBeGreaterThan(20);
      expect(said.includes(secret)).toBe(false);
    }
    expect(said).not.toMatch(/eyJ[\w-]{8,}\.[\w-]+\.|PRIVATE KEY/);
  });
});
