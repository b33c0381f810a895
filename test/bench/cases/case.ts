import type { BenchFederation } from '../federation.js';
import type { Figure } from '../measure.js';

/** What a case runs with. */
export interface Bench {
  readonly federation: BenchFederation;
  /** Under two minutes for everything, with figures that are rougher. */
  readonly quick: boolean;
}

/** One measurement, or a few that share their set-up. */
export type Case = (bench: Bench) => Promise<readonly Figure[]>;
