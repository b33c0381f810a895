/** The bounds of the delay before a call to the server is tried again, ms. */
const firstDelayMs = 1_000;
const longestDelayMs = 30_000;

/**
 * The delay before the next attempt, ms: full jitter below a bound that doubles from 1 s to 30 s, after the delay that
 * the server asked for. `failures` counts the attempts that failed before this one in a row, `random` is in [0, 1).
 */
export function backoffMs(failures: number, random: number, retryAfterMs = 0): number {
  const bound = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(failures, 16));
  return retryAfterMs + random * bound;
}
