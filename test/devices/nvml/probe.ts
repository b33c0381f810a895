import { randomBytes } from 'node:crypto';
import { MusterError } from '@muster/shared/errors.js';
import { nvVerifier } from '@muster/shared/evidence/x-nv-gpu/verifier.js';
import { nvGpuAttester, nvGpuOptions } from '@muster/attester/x-nv-gpu/attester.js';
import { openNvml } from '@muster/attester/x-nv-gpu/nvml.js';

/**
 * Prints what the real binding says on a machine with an NVIDIA driver: `node test/dist/devices/nvml/probe.js
 * [LIBRARY [SWITCH_LIBRARY]]`. It changes no setting of any device.
 */
const [, , givenLibrary, switchLibrary] = process.argv;
const { library, ...options } = nvGpuOptions.parse({
  namespace: 'x-nv-gpu',
  ...(givenLibrary !== undefined && { library: givenLibrary }),
  ...(switchLibrary !== undefined && { switch_library: switchLibrary }),
});

/** One line of JSON a step, so that a failed step hides none of the others. */
async function step(name: string, run: () => Promise<unknown>): Promise<void> {
  let outcome: unknown;
  try {
    outcome = await run();
  } catch (error) {
    outcome = error instanceof MusterError ? { refused: error.message } : { failed: String(error) };
  }
  console.log(JSON.stringify({ [name]: outcome }));
}

await step('state', async () => {
  const nvml = await openNvml(library);
  try {
    const gpus = await nvml.devices();
    return { gpus: gpus.length, ...(await nvml.state()) };
  } finally {
    await nvml.close();
  }
});

await step('evidence', async () => {
  const reportData = randomBytes(64);
  const evidence = await nvGpuAttester({ library, ...options }).collect(reportData);
  const { status, reasons, claims } = await nvVerifier.appraise({
    evidence,
    endorsements: { certificates: [], crls: [] },
    reportData,
    policy: nvVerifier.policySchema.parse({ revocation: 'optional' }),
    at: new Date(),
    simulatedRoots: [],
  });
  return { bytes: evidence.evidence.length, status, reasons: reasons.map(({ code }) => code), claims };
});
