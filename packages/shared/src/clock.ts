/** Everything that depends on time takes a clock, so that tests decide what time it is. */
export interface Clock {
  /** Wall-clock time; may step. For dates in certificates and tokens. */
  now(): Date;
  /** Milliseconds on a clock that never steps; for leases, deadlines and durations. */
  monotonic(): number;
  /** Calls back once, `delayMs` later on the monotonic clock. */
  schedule(delayMs: number, callback: () => void): Timer;
}

/** A pending call of a {@link Clock}. */
export interface Timer {
  cancel(): void;
}

const longestTimeoutMs = 2 ** 31 - 1;
/** Node's timers may be early by as much, ms. */
const earlyMs = 1;

/** The machine's clocks. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  schedule: (delayMs, callback) => new SystemTimer(performance.now() + delayMs, callback),
};

/** A timer that may be longer than Node's are. Thousands are armed at the same time, so that each is small. */
class SystemTimer implements Timer {
  readonly #due: number;
  readonly #callback: () => void;
  #handle: NodeJS.Timeout | undefined;

  constructor(due: number, callback: () => void) {
    this.#due = due;
    this.#callback = callback;
    this.#arm();
  }

  cancel(): void {
    clearTimeout(this.#handle);
    this.#handle = undefined;
  }

  #arm(): void {
    const left = Math.max(0, this.#due - performance.now());
    const delay = Math.min(Math.ceil(left), longestTimeoutMs);
    this.#handle = setTimeout(SystemTimer.#fire, delay, this);
    this.#handle.unref();
  }

  static #fire(this: void, timer: SystemTimer): void {
    if (timer.#due - performance.now() > earlyMs) timer.#arm();
    else timer.#callback();
  }
}

/** Resolves after a delay on the given clock; rejects with the signal's reason when aborted. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    const timer = clock.schedule(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
