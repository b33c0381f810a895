import { setImmediate } from 'node:timers/promises';

/** How long steps may follow each other before timers and connections get their turn, ms. */
const sliceMs = 5;

/**
 * Lets the event loop have its turn between the steps of some work, such as statements or signatures, which block it
 * each for a short time and together for long.
 */
export class Pace {
  #sliceBegan = 0;

  /** Begins a slice: the event loop has just had its turn. */
  begin(): void {
    this.#sliceBegan = performance.now();
  }

  /** To be awaited before each step. */
  async step(): Promise<void> {
    if (performance.now() - this.#sliceBegan < sliceMs) return;
    await setImmediate();
    this.begin();
  }
}
