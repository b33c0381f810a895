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

/** The machine's clocks. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  schedule(delayMs, callback) {
    const due = performance.now() + delayMs;
    let handle: NodeJS.Timeout;
    const arm = (): void => {
      const left = Math.max(0, due - performance.now());
      handle =
        left > longestTimeoutMs ? setTimeout(arm, longestTimeoutMs) : setTimeout(callback, Math.ceil(left));
      handle.unref();
    };
    arm();
    return { cancel: () => clearTimeout(handle) };
  },
};

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
