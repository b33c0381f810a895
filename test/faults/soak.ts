import { performance } from 'node:perf_hooks';
import { crashes, type Crash } from './support/crashes.js';
import { FaultFederation } from './support/fault-federation.js';
import { FaultReport } from './support/report.js';
import { seeded } from './support/seeded.js';
import { siteFaults, suffer } from './support/site-faults.js';
import { Story } from './support/story.js';

/** How many faults one federation suffers before the next one takes its place. */
const faultsPerFederation = 12;
const [minutes = 10, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);
const random = seeded(seed);
const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
const report = new FaultReport(`Soak of ${minutes} minutes, seed ${seed}`);
const end = performance.now() + minutes * 60_000;

/** One after the other, faults of sites and crashes in an order that the seed decides. */
const faults: readonly Crash[] = [
  ...crashes.filter(({ last }) => last !== true),
  ...siteFaults
    .filter(({ options }) => options === undefined)
    .map((fault) => ({
      name: fault.name,
      suffer: (story: Story) => suffer(story.federation, pick(story.sites), fault, story.nextJob()),
    })),
];

while (performance.now() < end) {
  const federation = await FaultFederation.start();
  try {
    const sites = await Promise.all(['site-1', 'site-2'].map((name) => federation.addSite(name)));
    await federation.trusted(...sites.map(({ name }) => name));
    const story = new Story(federation, sites);
    for (let count = 0; count < faultsPerFederation && performance.now() < end; count += 1) {
      const fault = pick(faults);
      const outcome = await fault.suffer(story).catch((error: unknown) => ({
        violations: [error instanceof Error ? error.message : String(error)],
      }));
      report.add({ fault: fault.name, injected: 1, ...outcome });
      for (const violation of outcome.violations) process.stdout.write(`${fault.name}: ${violation}\n`);
      if (outcome.violations.length > 0) {
        process.exitCode = 1;
        break;
      }
    }
  } finally {
    await federation.close();
  }
}
report.print();
