/** One line of the table: a figure of Muster beside a yardstick that was taken in the same run. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly muster: number;
  /** What it is compared with; absent where the figure is its own measure. */
  readonly yardstick?: { readonly name: string; readonly value: number; readonly ratio: number };
  /** What the figure should be; of the ratio where there is a yardstick and `of` does not say otherwise. */
  readonly aim?: { readonly is: 'at least' | 'at most'; readonly value: number; readonly of?: 'figure' };
}

/** Whether a figure is what it should be; undefined where nothing was aimed at. */
export function isMet({ muster, yardstick, aim }: Figure): boolean | undefined {
  if (aim === undefined) return undefined;
  const value = aim.of === 'figure' || yardstick === undefined ? muster : yardstick.ratio;
  return aim.is === 'at least' ? value >= aim.value : value <= aim.value;
}

/** The value below which a part of the values lies; NaN of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The outcome of taking two measurements in turn: A B A B. */
export interface Comparison {
  readonly muster: number;
  readonly yardstick: number;
  /** The median of the ratios of the turns: what disturbs both of a turn cancels out. */
  readonly ratio: number;
}

/** Takes a measurement and its yardstick in turn, so that noise on the machine meets both. */
export async function compare(
  rounds: number,
  muster: () => Promise<number>,
  yardstick: () => Promise<number>,
): Promise<Comparison> {
  const turns: { readonly muster: number; readonly yardstick: number }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    turns.push({ muster: await muster(), yardstick: await yardstick() });
  }
  return {
    muster: median(turns.map((turn) => turn.muster)),
    yardstick: median(turns.map((turn) => turn.yardstick)),
    ratio: median(turns.map((turn) => turn.muster / turn.yardstick)),
  };
}

/** Runs work on items, so many at a time. */
export async function pooled<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items.values();
  const worker = async (): Promise<void> => {
    for (const item of iterator) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
