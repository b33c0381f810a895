import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { crashes, type Crash } from './support/crashes.js';
import { FaultFederation } from './support/fault-federation.js';
import { FaultReport, type FaultRecord } from './support/report.js';
import { Story } from './support/story.js';

/** How many federations the crashes are spread over: they mostly wait. */
const federationCount = 3;

/** The server, the store and the agents end or stand still at the worst moments. */
describe('faults of the server and of its store', () => {
  const report = new FaultReport('Faults of the server and of its store');
  const records = new Map<string, Promise<FaultRecord>>();
  const federations: FaultFederation[] = [];

  beforeAll(async () => {
    const groups = Array.from({ length: federationCount }, (_, group) =>
      crashes.filter((_crash, index) => index % federationCount === group),
    );
    const stories = await Promise.all(
      groups.map(async (group) => {
        const federation = await FaultFederation.start();
        federations.push(federation);
        const sites = await Promise.all(['site-1', 'site-2'].map((name) => federation.addSite(name)));
        await federation.trusted(...sites.map(({ name }) => name));
        return { group, story: new Story(federation, sites) };
      }),
    );
    for (const { group, story } of stories) inTurn(story, group);
    for (const record of records.values()) record.catch(() => undefined);
  }, 90_000);

  afterAll(async () => {
    report.print();
    await Promise.all(federations.map((federation) => federation.close()));
  }, 60_000);

  function inTurn(story: Story, group: readonly Crash[]): void {
    let before: Promise<unknown> = Promise.resolve();
    for (const { name, suffer } of group) {
      const record = before.then(async () =>
        report.add({ fault: name, injected: 1, ...(await suffer(story)) }),
      );
      before = record.catch(() => undefined);
      records.set(name, record);
    }
  }

  it.each(crashes.map(({ name }) => name))(
    '%s',
    async (name) => {
      expect((await records.get(name))?.violations).toEqual([]);
    },
    240_000,
  );
});
