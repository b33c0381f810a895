import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { GpuMachine } from '../devices/nvml/gpus.js';
import { LiveFederation } from '../support/live/federation.js';
import { SimulatedNvidia } from '../support/live/nvidia.js';
import type { LiveSite } from '../support/live/site.js';
import { inState, jobIs } from '../support/live/views.js';
import { skipWithoutCompiler } from '../support/stand-in.js';

const folder = mkdtempSync(join(tmpdir(), 'muster-gpus-'));
const nvidia = new SimulatedNvidia(2);
const machine = GpuMachine.start(join(folder, 'gpus'), nvidia.gpus);
if (machine === undefined) skipWithoutCompiler('nvml/nvml.c');
afterAll(() => {
  machine?.close();
  rmSync(folder, { recursive: true });
});

/** One site with a CPU TEE and two GPUs, one without GPUs; each test goes on where the one before it ended. */
(machine === undefined ? describe.skip : describe)('a site with GPUs', () => {
  const gpus = machine as GpuMachine;
  let federation: LiveFederation;
  let sites: readonly LiveSite[];

  beforeAll(async () => {
    federation = await LiveFederation.start({
      lease: '1m',
      verification: '10s',
      simulatedRoots: nvidia.writeRoots(folder),
      policy: {
        sites: [
          {
            name: 'gpu-*',
            require: ['x-snp', 'x-nv-gpu'],
            namespaces: { 'x-nv-gpu': { gpus: { exactly: 2 } } },
          },
          { name: 'cpu-*', require: ['x-snp'] },
        ],
      },
    });
    nvidia.writeEndorsements(join(federation.vendor, 'endorsements'));
    const moreAttesters = [{ namespace: 'x-nv-gpu', library: gpus.library }];
    sites = await Promise.all([federation.addSite('gpu-1', { moreAttesters }), federation.addSite('cpu-1')]);
    await Promise.all(sites.map(({ name }) => inState(federation, name, 'TRUSTED')));
  }, 90_000);
  afterAll(() => federation.close(), 30_000);

  const faults: readonly (readonly [string, () => void, object])[] = [
    [
      'whose GPUs are taken out of confidential mode',
      () => gpus.switchOff(),
      {
        code: 'NV_CONFIDENTIAL_COMPUTING_OFF',
        message: expect.stringContaining('confidential computing is off on the GPUs of this machine'),
      },
    ],
    [
      'one of whose GPUs runs another firmware',
      () => gpus.changeFirmware(1),
      {
        code: 'NV_MEASUREMENT_MISMATCH',
        path: 'GPU-1',
        message: 'These measurements of the manifests are not met: 32.',
      },
    ],
    [
      "one of whose GPUs answers with the other's evidence",
      () => gpus.impersonate(1),
      { code: 'NV_DEVICE_REPEATED', path: 'GPU-1', message: 'GPU-1 is the same device as GPU-0.' },
    ],
  ];

  it.each(faults)(
    '%s loses its job at all sites, and says why',
    async (title, fail, reason) => {
      const id = `job-${faults.findIndex(([name]) => name === title) + 1}`;
      await federation.muster('job', 'submit', id, '--site', 'gpu-1,cpu-1');
      const admission = await federation.muster('job', 'admit', id);
      expect([admission.code, admission.out]).toEqual([0, expect.any(String)]);
      const runs = sites.map((site) => site.run(id));
      await Promise.all(runs.map((run) => run.running()));

      fail();
      const { reasons } = await inState(federation, 'gpu-1', 'QUARANTINED');
      expect(reasons).toContainEqual(
        expect.objectContaining({ ...reason, participant: 'gpu-1', namespace: 'x-nv-gpu' }),
      );
      await Promise.all(runs.map((run) => run.gone()));
      const job = await jobIs(federation, id, 'STOPPED');
      expect(job.reasons).toContainEqual(expect.objectContaining({ ...reason, participant: 'gpu-1' }));

      gpus.repair();
      await federation.muster('participant', 'readmit', 'gpu-1');
      await inState(federation, 'gpu-1', 'TRUSTED');
    },
    90_000,
  );
});
