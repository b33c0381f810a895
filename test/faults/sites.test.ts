import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FaultFederation } from './support/fault-federation.js';
import { FaultReport, type FaultRecord } from './support/report.js';
import { siteFaults, suffer } from './support/site-faults.js';

/** Each site of one federation suffers its own fault, all at once. */
describe('faults of one site', () => {
  const report = new FaultReport('Faults of one site');
  const records = new Map<string, Promise<FaultRecord>>();
  let federation: FaultFederation;

  beforeAll(async () => {
    federation = await FaultFederation.start();
    const sites = await Promise.all(
      siteFaults.map(async (fault, index) => ({
        fault,
        site: await federation.addSite(`site-${index}`, fault.options),
      })),
    );
    await federation.trusted(...sites.map(({ site }) => site.name));
    for (const { fault, site } of sites) {
      const outcome = suffer(federation, site, fault, `job-${site.name}`);
      const record = outcome.then((seen) => report.add({ fault: fault.name, injected: 1, ...seen }));
      record.catch(() => undefined);
      records.set(fault.name, record);
    }
  }, 90_000);

  afterAll(async () => {
    report.print();
    await federation.close();
  }, 60_000);

  it.each(siteFaults.map(({ name }) => name))(
    '%s',
    async (name) => {
      expect((await records.get(name))?.violations).toEqual([]);
    },
    240_000,
  );

  it('nothing is lost, applied twice or written by an older session', async () => {
    await Promise.allSettled(records.values());
    const violations = await federation.violations();
    report.add({ fault: 'all of them together', injected: 0, violations });
    expect(violations).toEqual([]);
  }, 240_000);
});
