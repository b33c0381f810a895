import { readFileSync } from 'node:fs';

/** The longest time in which the event loop did not come round, ms. */
export interface LongestTurn {
  readonly ms: number;
  /** The longest that it was busy by itself: without the time in which it waited for a core of the machine. */
  readonly onCoreMs: number;
}

const lookEveryMs = 1;

/** Watches the turns of the event loop, until it is asked for the longest. */
export function watchTurns(): () => LongestTurn {
  let [at, ran] = [performance.now(), ranMs()];
  let [ms, onCoreMs] = [0, 0];
  const look = (): void => {
    const [now, running] = [performance.now(), ranMs()];
    ms = Math.max(ms, now - at - lookEveryMs);
    onCoreMs = Math.max(onCoreMs, running - ran);
    [at, ran] = [now, running];
  };
  const timer = setInterval(look, lookEveryMs);
  return () => {
    look();
    clearInterval(timer);
    return { ms, onCoreMs };
  };
}

/** How long the main thread, which is that of the event loop, has run on a core (Linux, proc(5): schedstat), ms. */
export function ranMs(): number {
  const [nanoseconds] = readFileSync('/proc/self/schedstat', 'utf8').split(' ');
  return Number(nanoseconds) / 1e6;
}
