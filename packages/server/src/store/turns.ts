/** Runs works one at a time, in order. */
export class Turns {
  readonly #onBegin: () => void;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Calls `onBegin` before every work that did not have to wait. */
  constructor(onBegin: () => void = () => undefined) {
    this.#onBegin = onBegin;
  }

  /** Runs a work when all before it have ended; resolves and rejects as it does. */
  take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting === 0) this.#onBegin();
    this.#waiting += 1;
    const turn = this.#last.then(work).finally(() => (this.#waiting -= 1));
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
