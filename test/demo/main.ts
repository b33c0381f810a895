// The main job with real processes: three sites prove themselves, jobs are admitted, permission is taken back.
import { existsSync } from 'node:fs';
import { strict as assert } from 'node:assert';
import { LiveFederation } from '../support/live/federation.js';
import { isAlive } from '../support/live/wait.js';
import { byoc, cutOff, drift, enrol, mend, run, shutdown, weigh } from './acts.js';
import { Story } from './story.js';

const logLines = 15;

async function play(story: Story, federation: LiveFederation): Promise<void> {
  const stage = { story, federation };
  const sites = await enrol(stage);
  const [site1, site2, site3] = sites;
  assert.ok(site1 !== undefined && site2 !== undefined && site3 !== undefined);

  story.act('job-1 runs at all three');
  const first = await run(stage, 'job-1', sites);
  await byoc(stage);
  await drift(stage, site2, first);

  story.act('job-2 runs at the other two');
  const second = await run(stage, 'job-2', [site1, site3]);
  await cutOff(stage, site3, second);
  await mend(stage, site2, site3);

  story.act('job-3 runs at all three again');
  const third = await run(stage, 'job-3', sites);
  weigh(stage, sites);
  await shutdown(stage, sites, third);
}

const colour = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '';
const story = new Story((text) => process.stdout.write(text), colour);
story.title(
  'Muster: it passes muster, or it does not run',
  'A server and three sites, each a process of its own with its own simulated SEV-SNP device.',
);
let federation: LiveFederation | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void federation?.close().finally(() => process.exit(1)));
}
try {
  federation = await LiveFederation.start({ heartbeat: '1s', lease: '5s', verification: '10s' });
  await play(story, federation);
  await federation.close();
  const { started, directory } = federation;
  await story.claim('nothing is left behind: no process, no file', async () => {
    assert.equal(started.filter(({ pid }) => isAlive(pid)).length, 0);
    assert.equal(existsSync(directory), false);
  });
  story.end();
} catch (error) {
  story.fail(error);
  for (const { name, pid, output } of federation?.started ?? []) {
    const log = output().trim().split('\n').slice(-logLines);
    process.stderr.write(`The last lines of ${name} (${pid}):\n${log.join('\n')}\n\n`);
  }
  process.exitCode = 1;
} finally {
  await federation?.close();
}
