import { mutate } from './mutate/mutate.js';
import type { Random } from './random.js';
import type { Input, Target } from './target.js';

/** How many inputs are kept beside the seeds; an old one makes room. */
const maxPool = 512;

/** Makes inputs out of seeds and of what was found interesting since. */
export class Campaign {
  readonly #target: Target;
  readonly #random: Random;
  readonly #kept: Input[] = [];

  constructor(target: Target, random: Random) {
    this.#target = target;
    this.#random = random;
  }

  /** The next input. */
  next(): Input {
    const { seeds, words = [] } = this.#target;
    const fromKept = this.#kept.length > 0 && this.#random.chance(0.7);
    const recent = this.#random.chance(0.3) ? this.#kept.slice(-16) : this.#kept;
    const base = this.#random.pick(fromKept ? recent : seeds);
    return mutate(base, this.#random, [...seeds, base, ...recent.slice(-4)], words);
  }

  /** Keeps an input that reached something new. */
  keep(input: Input): void {
    this.#kept.push(input);
    if (this.#kept.length > maxPool) this.#kept.splice(this.#random.below(maxPool / 2), 1);
  }
}
