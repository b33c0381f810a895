import { seeded } from '../faults/support/seeded.js';

/** Choices that are the same in every run with the same seed. */
export class Random {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = seeded(seed);
  }

  /** A whole number from 0 up to, and without, a limit; 0 where there is no such number. */
  below(limit: number): number {
    return Math.floor(this.#next() * Math.max(1, limit));
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  /** One of the items, of which there is at least one. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }

  /** A number that is mostly small and sometimes as large as the limit. */
  size(limit: number): number {
    return Math.floor(Math.max(1, limit) ** this.#next());
  }
}
