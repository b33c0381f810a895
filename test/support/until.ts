import { performance } from 'node:perf_hooks';

/** How long {@link until} looks before it gives up, ms: a machine that is busy takes its time for cryptography. */
const patienceMs = 10_000;

/** Waits until something is so, while pending work such as cryptography completes; no time passes on a fake clock. */
export async function until(isSo: () => boolean): Promise<void> {
  for (const end = performance.now() + patienceMs; !isSo();) {
    if (performance.now() > end) throw new Error('what the test waits for did not happen');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
