const patienceMs = 5_000;

/** What arrives at a test, in order, until the test takes it. */
export class Mailbox<T> {
  readonly #waiting: T[] = [];
  #wake: () => void = () => undefined;

  put(item: T): void {
    this.#waiting.push(item);
    this.#wake();
  }

  /** What has arrived and was not taken. */
  get waiting(): readonly T[] {
    return this.#waiting;
  }

  /** Takes the first item that fits, and waits for it if need be; others stay. */
  async take<U extends T>(fits: (item: T) => item is U): Promise<U> {
    const deadline = AbortSignal.timeout(patienceMs);
    for (;;) {
      const index = this.#waiting.findIndex(fits);
      if (index >= 0) return this.#waiting.splice(index, 1)[0] as U;
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        deadline.addEventListener('abort', () => reject(new Error('what the test waits for did not come')), {
          once: true,
        });
      });
    }
  }

  /** Takes the next item. */
  next(): Promise<T> {
    return this.take((item): item is T => item !== undefined);
  }
}

/** Waits until something holds, while I/O goes on. */
export async function eventually(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`this did not become true: ${String(holds)}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
