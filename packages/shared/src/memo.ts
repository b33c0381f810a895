/** How a function's results are remembered. */
export interface MemoOptions<Input> {
  /** Says everything that the result depends on: inputs with equal keys have equal results. */
  readonly keyOf: (input: Input) => string;
  /** How many results are kept; the least recently used one makes room. */
  readonly maxEntries: number;
}

/**
 * Remembers the results of a pure function. What depends on the time or on anything else outside the input must not be
 * inside. An exception is not remembered. Results are shared: nobody may change them.
 */
export function memoized<Input, Output>(
  compute: (input: Input) => Output,
  { keyOf, maxEntries }: MemoOptions<Input>,
): (input: Input) => Output {
  const results = new Map<string, { readonly output: Output }>();
  return (input) => {
    const key = keyOf(input);
    const result = results.get(key) ?? { output: compute(input) };
    results.delete(key);
    results.set(key, result);
    const [oldest] = results.keys();
    if (results.size > maxEntries && oldest !== undefined) results.delete(oldest);
    return result.output;
  };
}

/** Remembers what a pure function made of an object for as long as somebody has the object. */
export function perObject<Input extends object, Output>(
  compute: (input: Input) => Output,
): (input: Input) => Output {
  const results = new WeakMap<Input, { readonly output: Output }>();
  return (input) => {
    const result = results.get(input) ?? { output: compute(input) };
    results.set(input, result);
    return result.output;
  };
}

/** Computes a value when it is first asked for. */
export function once<Output>(compute: () => Output): () => Output {
  let result: { readonly output: Output } | undefined;
  return () => {
    result ??= { output: compute() };
    return result.output;
  };
}
