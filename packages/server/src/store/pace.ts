import { setImmediate } from 'node:timers/promises';

/** How long statements may follow each other before timers and connections get their turn, ms. */
const sliceMs = 5;

/** Lets the event loop have its turn between statements, which block it each for a short time and together for long. */
export class Pace {
  #sliceBegan = 0;

  /** Begins a slice: the event loop has just had its turn. */
  begin(): void {
    this.#sliceBegan = performance.now();
  }

  /** To be awaited before each statement. */
  async step(): Promise<void> {
    if (performance.now() - this.#sliceBegan < sliceMs) return;
    await setImmediate();
    this.begin();
  }
}
