import type { Clock, Timer } from '@muster/shared/clock.js';

interface Pending {
  readonly due: number;
  readonly callback: () => void;
}

/** How often {@link FakeClock.waitForTimers} looks before it gives up; each look lets pending I/O complete. */
const maxLooks = 10_000;

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  private elapsedMs = 0;
  private offsetMs: number;
  private readonly pending = new Set<Pending>();

  constructor(start: Date = new Date('2026-01-01T00:00:00Z')) {
    this.offsetMs = start.getTime();
  }

  now(): Date {
    return new Date(this.offsetMs + this.elapsedMs);
  }

  monotonic(): number {
    return this.elapsedMs;
  }

  schedule(delayMs: number, callback: () => void): Timer {
    const timer = { due: this.elapsedMs + Math.max(0, delayMs), callback };
    this.pending.add(timer);
    return { cancel: () => void this.pending.delete(timer) };
  }

  /** How many timers are armed. */
  get timers(): number {
    return this.pending.size;
  }

  /** Moves both clocks on. Timers that fall due run in order, each at its own time, and promises settle in between. */
  async advance(ms: number): Promise<void> {
    const target = this.elapsedMs + ms;
    await settle();
    for (let next = this.firstDue(target); next !== undefined; next = this.firstDue(target)) {
      this.pending.delete(next);
      this.elapsedMs = Math.max(this.elapsedMs, next.due);
      next.callback();
      await settle();
    }
    this.elapsedMs = target;
  }

  /** Waits until code has armed at least `count` timers. */
  async waitForTimers(count: number): Promise<void> {
    for (let look = 0; this.pending.size < count; look += 1) {
      if (look >= maxLooks) throw new Error(`${this.pending.size} timers are armed, expected ${count}`);
      await settle();
    }
  }

  /** Steps the wall clock only, as an administrator or NTP may; may be negative. */
  step(ms: number): void {
    this.offsetMs += ms;
  }

  private firstDue(target: number): Pending | undefined {
    return [...this.pending].filter(({ due }) => due <= target).toSorted((a, b) => a.due - b.due)[0];
  }
}

/** Lets promise reactions and completed I/O run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
