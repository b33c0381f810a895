import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ReportDirectory } from '../devices/snp/report-directory.js';
import { LiveFederation } from '../support/live/federation.js';
import { SimulatedIntel } from '../support/live/intel.js';
import type { LiveSite } from '../support/live/site.js';
import { inState, jobIs, type JobView } from '../support/live/views.js';
import { eventually } from '../support/live/wait.js';

const measurements = ['5a'.repeat(48)];

/** One site on AMD, one on Intel, and one that should have both; each test goes on where the one before it ended. */
describe('a federation of mixed machines', () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-mixed-'));
  const intel = new SimulatedIntel();
  let device: ReportDirectory & { readonly path: string };
  let federation: LiveFederation;
  let sites: readonly LiveSite[];

  beforeAll(async () => {
    device = intel.serveDevice(folder);
    federation = await LiveFederation.start({
      lease: '1m',
      simulatedRoots: [{ namespace: 'x-tdx', certificate: intel.writeRoot(folder) }],
      policy: {
        sites: [
          { name: 'amd-*', require: ['x-snp'] },
          { name: 'intel-*', require: ['x-tdx'], namespaces: { 'x-tdx': { mrtd: measurements } } },
          { name: 'both-*', require: ['x-snp', 'x-tdx'] },
        ],
        rules: [{ name: 'firmware', when: 'x-snp', expression: 'claims.tcb.reported.snp >= 1' }],
      },
    });
    intel.writeCollateral(join(federation.vendor, 'endorsements'));
  }, 90_000);
  afterAll(async () => {
    await federation.close();
    device.close();
    rmSync(folder, { recursive: true });
  }, 30_000);

  it('trusts each site by what its machine has', async () => {
    const tdx = { namespace: 'x-tdx', report_directory: device.path, timeout: '4s' };
    sites = await Promise.all([
      federation.addSite('amd-1'),
      federation.addSite('intel-1', { attesters: [tdx] }),
    ]);
    await Promise.all(sites.map(({ name }) => inState(federation, name, 'TRUSTED')));
  }, 90_000);

  it('runs a job on both, each of which has verified the other', async () => {
    expect((await federation.muster('job', 'submit', 'job-1', '--site', 'amd-1,intel-1')).code).toBe(0);
    expect((await federation.muster('job', 'admit', 'job-1')).code).toBe(0);
    const runs = sites.map((site) => site.run('job-1'));
    await Promise.all(runs.map((run) => run.running()));
    const { sites: seen = [] } = await jobIs(federation, 'job-1', 'RUNNING');
    expect(seen.map(({ participant }) => participant).toSorted()).toEqual(['amd-1', 'intel-1']);
    expect((await federation.muster('job', 'stop', 'job-1')).code).toBe(0);
    await Promise.all(runs.map((run) => run.gone()));
  }, 90_000);

  it('admits no job with a site that lacks one of its namespaces, and names it', async () => {
    const { agent } = await federation.addSite('both-1');
    await eventually('the agent to name it', () =>
      agent.output().includes('no attester of the namespace x-tdx is configured'),
    );
    expect((await federation.muster('job', 'submit', 'job-2', '--site', 'amd-1,both-1')).code).toBe(0);
    expect((await federation.muster('job', 'admit', 'job-2')).code).toBe(1);
    const { job } = await federation.ask<JobView>('job', 'get', 'job-2');
    expect(job.reasons).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          code: 'ATTESTATION_MISSING',
          participant: 'both-1',
          namespace: 'x-tdx',
        }),
      ]),
    );
  }, 90_000);
});
