import { refusal } from '@muster/shared/errors.js';

/** How many changes wait for a slow caller before its stream is ended. */
const maxPending = 1_024;

/** What a watch sends. */
export interface ChangeSource<T> {
  /** The things as they are, in any number of steps. */
  readonly snapshot: () => AsyncIterable<T>;
  /** Calls back with every change. Returns the way to unsubscribe. */
  readonly subscribe: (listener: (value: T) => void) => () => void;
  readonly keyOf: (value: T) => string;
}

/**
 * Sends things as they are, then every change in order, until the caller is gone. No thing goes back in time: one that
 * changes while the snapshot is sent is sent by its changes. Errors: RATE_LIMITED when the caller reads too slowly.
 */
export async function* changeStream<T>(source: ChangeSource<T>, signal: AbortSignal): AsyncGenerator<T> {
  const pending: T[] = [];
  let overflown = false;
  let wake = (): void => undefined;
  const unsubscribe = source.subscribe((value) => {
    if (pending.length < maxPending) pending.push(value);
    else overflown = true;
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort);
  const changed = (value: T): boolean =>
    pending.some((change) => source.keyOf(change) === source.keyOf(value));
  try {
    for await (const value of source.snapshot()) {
      if (signal.aborted) return;
      if (!changed(value)) yield value;
    }
    while (!signal.aborted) {
      if (overflown) {
        const message = 'The caller reads too slowly for the number of changes.';
        throw refusal('RATE_LIMITED', { message });
      }
      const next = pending.shift();
      if (next !== undefined) yield next;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    unsubscribe();
    signal.removeEventListener('abort', onAbort);
  }
}
