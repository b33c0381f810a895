/** Runs works one at a time: the urgent ones first, and otherwise in order. */
export class Turns {
  readonly #onBegin: () => void;
  readonly #urgent: (() => Promise<void>)[] = [];
  readonly #others: (() => Promise<void>)[] = [];
  #running = false;

  /** Calls `onBegin` before every work that did not have to wait. */
  constructor(onBegin: () => void = () => undefined) {
    this.#onBegin = onBegin;
  }

  /** Runs a work when it is its turn; resolves and rejects as it does. */
  take<T>(work: () => Promise<T>, { urgent = false }: { readonly urgent?: boolean } = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      (urgent ? this.#urgent : this.#others).push(() => work().then(resolve, reject));
      if (this.#running) return;
      this.#onBegin();
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let next = this.#next(); next !== undefined; next = this.#next()) await next();
    this.#running = false;
  }

  #next(): (() => Promise<void>) | undefined {
    return this.#urgent.shift() ?? this.#others.shift();
  }
}
