/** One byte string of an input; its kind says what it is, where an input has several. */
export interface Part {
  readonly kind: string;
  readonly bytes: Uint8Array;
}

/** What a target is given, such as evidence with the certificates beside it. */
export type Input = readonly Part[];

/** Code that reads what others send, ready to be run. */
export interface Target {
  /** Genuine inputs, from which the others are made. */
  readonly seeds: readonly Input[];
  /** Words of the format, beside those in the seeds. */
  readonly words?: readonly string[];
  /** How long one input may take of the processor, ms; 100 unless the code documents another limit. */
  readonly slowMs?: number;
  /**
   * Gives an input to the code. Returns what the code affirmed, each as the bytes that a signature had to cover: nothing
   * may be affirmed that is not affirmed of a seed. Throws what the code throws, and an Error for a broken promise.
   */
  run(input: Input): readonly string[] | Promise<readonly string[]>;
  /** Whether the code documents an error; those with a reason of the catalogue always are. */
  documents?(error: Error): boolean;
}

/** A target by its name, made when its turn comes: the keys of simulated devices take time. */
export interface NamedTarget {
  readonly name: string;
  make(): Target | Promise<Target>;
}

/** An input of one part. */
export function single(bytes: Uint8Array | string, kind = ''): Input {
  return [{ kind, bytes: Buffer.from(bytes) }];
}

/** The first part of a kind; empty where an input has none. */
export function partOf(input: Input, kind: string): Uint8Array {
  return input.find((part) => part.kind === kind)?.bytes ?? new Uint8Array();
}

/** Every part of a kind. */
export function partsOf(input: Input, kind: string): readonly Uint8Array[] {
  return input.filter((part) => part.kind === kind).map(({ bytes }) => bytes);
}

/** A target that has one function read one part, and promises nothing but an answer. */
export function parserTarget(
  name: string,
  read: (bytes: Uint8Array) => unknown,
  seeds: () => readonly (Uint8Array | string)[],
  more: Pick<Target, 'words' | 'slowMs' | 'documents'> = {},
): NamedTarget {
  return {
    name,
    make: () => ({
      ...more,
      seeds: seeds().map((seed) => single(seed)),
      run: async (input) => {
        await read(partOf(input, ''));
        return [];
      },
    }),
  };
}
