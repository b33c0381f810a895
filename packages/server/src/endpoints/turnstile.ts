/**
 * Lets items pass one at a time, at least `gapMs` apart, so that the event loop has its turn between them. Groups take
 * turns: whoever brings many items delays its own, and not those of others.
 */
export class Turnstile<T> {
  readonly #gapMs: number;
  readonly #pass: (item: T) => void;
  /** What waits, by group; the group whose turn is next comes first. */
  readonly #waiting = new Map<string, T[]>();
  #opensAt = 0;
  #armed = false;

  constructor(gapMs: number, pass: (item: T) => void) {
    this.#gapMs = gapMs;
    this.#pass = pass;
  }

  /** Has an item pass when it is its turn, never before the present turn of the event loop is over. */
  add(group: string, item: T): void {
    const items = this.#waiting.get(group);
    if (items === undefined) this.#waiting.set(group, [item]);
    else items.push(item);
    this.#arm();
  }

  #arm(): void {
    if (this.#armed || this.#waiting.size === 0) return;
    this.#armed = true;
    const waitMs = Math.ceil(this.#opensAt - performance.now());
    if (waitMs > 0) setTimeout(() => this.#open(), waitMs);
    else setImmediate(() => this.#open());
  }

  #open(): void {
    const [first] = this.#waiting;
    // Timers can be early by a fraction of a millisecond.
    if (first !== undefined && performance.now() >= this.#opensAt) {
      const [group, [item, ...rest]] = first;
      this.#waiting.delete(group);
      if (rest.length > 0) this.#waiting.set(group, rest);
      if (item !== undefined) this.#pass(item);
      this.#opensAt = performance.now() + this.#gapMs;
    }
    this.#armed = false;
    this.#arm();
  }
}
