// The main job with real processes: three sites prove themselves, jobs are admitted, permission is taken back.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { strict as assert } from 'node:assert';
import { GpuMachine } from '../devices/nvml/gpus.js';
import { LiveFederation } from '../support/live/federation.js';
import { SimulatedNvidia } from '../support/live/nvidia.js';
import { isAlive } from '../support/live/wait.js';
import {
  byoc,
  cutOff,
  drift,
  enrol,
  exposeGpus,
  mend,
  run,
  shutdown,
  stopped,
  weigh,
  type Stage,
} from './acts.js';
import { Story } from './story.js';

const logLines = 15;

async function play(stage: Stage): Promise<void> {
  const { story, gpus } = stage;
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
  if (gpus !== undefined) await exposeGpus(stage, gpus, site1);
  await stopped(stage, 'job-2');
  await mend(stage, site2, site3);

  story.act('job-3 runs at all three again');
  const last = await run(stage, 'job-3', sites);
  weigh(stage, sites);
  await shutdown(stage, sites, last);
}

/** site-1 has to prove its CPU and both of its GPUs, the others their CPU. */
const withGpus = {
  sites: [
    { name: 'site-1', require: ['x-snp', 'x-nv-gpu'], namespaces: { 'x-nv-gpu': { gpus: { exactly: 2 } } } },
    { name: '*', require: ['x-snp'] },
  ],
};

const colour = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '';
const story = new Story((text) => process.stdout.write(text), colour);
const folder = mkdtempSync(join(tmpdir(), 'muster-demo-'));
const nvidia = new SimulatedNvidia(2);
const gpus = GpuMachine.start(join(folder, 'gpus'), nvidia.gpus);
story.title(
  'Muster: it passes muster, or it does not run',
  `A server and three sites, each a process of its own with its own simulated SEV-SNP device.\n${
    gpus === undefined
      ? 'The act with GPUs is left out: their driver is simulated in C, and there is no compiler (cc) here.'
      : 'site-1 has two simulated GPUs as well, and has to prove them too.'
  }`,
);
let federation: LiveFederation | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void federation?.close().finally(() => process.exit(1)));
}
try {
  federation = await LiveFederation.start({
    heartbeat: '1500ms',
    lease: '5s',
    verification: '10s',
    ...(gpus !== undefined && { policy: withGpus, simulatedRoots: nvidia.writeRoots(folder) }),
  });
  nvidia.writeEndorsements(join(federation.vendor, 'endorsements'));
  await play({ story, federation, gpus });
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
  gpus?.close();
  rmSync(folder, { recursive: true, force: true });
}
