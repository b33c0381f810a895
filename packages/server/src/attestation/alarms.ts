import type { Clock, Timer } from '@muster/shared/clock.js';

/** The longest that an alarm trusts the distance between the two clocks, ms: then it looks at the wall clock again. */
const longestNapMs = 30_000;
/** How far the wall clock moves in a nap against the monotonic one when somebody has set it, ms. */
const stepMs = 5_000;

/**
 * One alarm per name, at a wall-clock time. When the wall clock is stepped, ahead or back, it rings within 30 seconds,
 * whatever its time: everything that was said about time is in doubt, and who is called looks at the clock.
 */
export class Alarms {
  readonly #clock: Clock;
  readonly #onDue: (name: string) => void;
  readonly #timers = new Map<string, Timer>();

  constructor(clock: Clock, onDue: (name: string) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Sets a name's alarm, in the place of its previous one. */
  set(name: string, due: Date): void {
    this.clear(name);
    const offsetMs = this.#offsetMs();
    const leftMs = Math.max(0, due.getTime() - this.#clock.now().getTime());
    const timer = this.#clock.schedule(Math.min(leftMs, longestNapMs), () => {
      const isStepped = Math.abs(this.#offsetMs() - offsetMs) > stepMs;
      if (!isStepped && this.#clock.now().getTime() < due.getTime()) return this.set(name, due);
      this.#timers.delete(name);
      return this.#onDue(name);
    });
    this.#timers.set(name, timer);
  }

  clear(name: string): void {
    this.#timers.get(name)?.cancel();
    this.#timers.delete(name);
  }

  clearAll(): void {
    for (const name of this.#timers.keys()) this.clear(name);
  }

  #offsetMs(): number {
    return this.#clock.now().getTime() - this.#clock.monotonic();
  }
}
