import { Session, type Profiler } from 'node:inspector';

/** The code whose coverage guides: Muster's own, as it is built. */
const guidedBy = /\/packages\/(?:shared|server)\/dist\/(?!gen\/)/;

/**
 * Which blocks of code were ever reached, by V8's own precise coverage. V8 reports the ranges of a function whose counts
 * differ from those around them, so that a block is known from when it was first left out, or reached by itself.
 */
export class Coverage {
  readonly #session = new Session();
  /** By script and function: the blocks by where they start, and whether they were reached. */
  readonly #functions = new Map<string, Map<number, boolean>>();
  #reached = 0;

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });
  }

  /** How many blocks were reached so far. */
  get reached(): number {
    return this.#reached;
  }

  /** Adds what ran since the last call; returns how many blocks are new. */
  take(): number {
    const before = this.#reached;
    // A session in the same thread answers before it returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      if (error !== null) throw error;
      for (const { url, functions } of result) {
        if (guidedBy.test(url)) for (const each of functions) this.#add(url, each);
      }
    });
    return this.#reached - before;
  }

  close(): void {
    this.#session.disconnect();
  }

  #add(url: string, { functionName, ranges }: Profiler.FunctionCoverage): void {
    const [whole] = ranges;
    if (whole === undefined) return;
    const key = `${url} ${functionName} ${whole.startOffset}`;
    const blocks = this.#functions.get(key) ?? new Map<number, boolean>();
    this.#functions.set(key, blocks);
    for (const { startOffset } of ranges) if (!blocks.has(startOffset)) blocks.set(startOffset, false);
    for (const [start, isReached] of blocks) {
      if (isReached || countAt(ranges, start) === 0) continue;
      blocks.set(start, true);
      this.#reached += 1;
    }
  }
}

/** The count of the innermost range around an offset; ranges come with the outer before the inner. */
function countAt(ranges: readonly Profiler.CoverageRange[], offset: number): number {
  const around = ranges.findLast(({ startOffset, endOffset }) => startOffset <= offset && offset < endOffset);
  return around?.count ?? 0;
}
