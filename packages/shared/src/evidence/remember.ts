import { createHash } from 'node:crypto';

/**
 * Remembers what a pure function made of bytes, by their SHA-256, for as many inputs as the capacity says; the least
 * recently used one makes room. Certificates and lists come again with every piece of evidence, and reading one takes
 * far longer than verifying its signature.
 */
export function remembered<T>(read: (bytes: Uint8Array) => T, capacity: number): (bytes: Uint8Array) => T {
  const known = new Map<string, { readonly value: T }>();
  return (bytes) => {
    const key = createHash('sha256').update(bytes).digest('base64');
    const entry = known.get(key) ?? { value: read(Uint8Array.from(bytes)) };
    known.delete(key);
    known.set(key, entry);
    const [oldest] = known.keys();
    if (known.size > capacity && oldest !== undefined) known.delete(oldest);
    return entry.value;
  };
}
