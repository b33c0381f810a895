/** How often {@link until} looks before it gives up; each look lets pending I/O complete. */
const maxLooks = 5_000;

/** Waits until something is so, while pending work such as cryptography completes; no time passes on a fake clock. */
export async function until(isSo: () => boolean): Promise<void> {
  for (let look = 0; !isSo(); look += 1) {
    if (look >= maxLooks) throw new Error('what the test waits for did not happen');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
