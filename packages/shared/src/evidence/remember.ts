import { createHash } from 'node:crypto';
import { memoized } from '../memo.js';

/** The largest input that is remembered unless told otherwise, bytes: it bounds what hostile ones take. */
const usualBytes = 16 * 1024;

/**
 * Remembers what a pure function made of bytes, by their SHA-256, for as many inputs as the capacity says; the least
 * recently used one makes room. Certificates and lists come again with every piece of evidence, and reading one takes
 * far longer than verifying its signature. What is large is read anew each time.
 */
export function remembered<T>(
  read: (bytes: Uint8Array) => T,
  capacity: number,
  maxBytes = usualBytes,
): (bytes: Uint8Array) => T {
  const recall = memoized((bytes: Uint8Array) => read(Uint8Array.from(bytes)), {
    keyOf: (bytes) => createHash('sha256').update(bytes).digest('base64'),
    maxEntries: capacity,
  });
  return (bytes) => (bytes.length > maxBytes ? read(bytes) : recall(bytes));
}
