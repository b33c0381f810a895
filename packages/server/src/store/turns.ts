import { setImmediate } from 'node:timers/promises';

/** How long works may follow each other before timers and connections get their turn, ms. */
const sliceMs = 5;

/** Runs works one at a time, in order. They are mostly synchronous, so that many of them would block the event loop. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #sliceBegan = 0;

  /** Runs a work when all before it have ended; resolves and rejects as it does. */
  take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting === 0) this.#sliceBegan = performance.now();
    this.#waiting += 1;
    const turn = this.#last.then(async () => {
      try {
        if (performance.now() - this.#sliceBegan > sliceMs) await this.#pause();
        return await work();
      } finally {
        this.#waiting -= 1;
      }
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #pause(): Promise<void> {
    await setImmediate();
    this.#sliceBegan = performance.now();
  }
}
