import { styles, type Styles } from '@muster/cli/render/text.js';
import { performance } from 'node:perf_hooks';

const claimColumns = 84;

/** Tells what happens, checks every claim, and keeps the times for the end. */
export class Story {
  readonly #style: Styles;
  readonly #write: (text: string) => void;
  readonly #times: { readonly what: string; readonly ms: number }[] = [];
  readonly #facts: { readonly what: string; readonly value: string }[] = [];
  readonly #began = performance.now();
  #acts = 0;
  #claims = 0;

  constructor(write: (text: string) => void, colour: boolean) {
    this.#style = styles(colour);
    this.#write = write;
  }

  title(text: string, subtitle: string): void {
    this.#write(`\n${this.#style.strong(text)}\n${this.#style.faint(subtitle)}\n`);
  }

  /** Begins an act: one thing that happens in the federation. */
  act(text: string): void {
    this.#acts += 1;
    this.#write(`\n${this.#style.strong(`${this.#acts}  ${text}`)}\n`);
  }

  /**
   * Waits for something to hold. The time counts from `since` (of {@link now}), else from the call; with `remember` it
   * is repeated at the end under that name. Throws when it does not hold.
   */
  async claim(
    text: string,
    holds: () => Promise<unknown>,
    { since = performance.now(), remember }: { readonly since?: number; readonly remember?: string } = {},
  ): Promise<void> {
    try {
      await holds();
    } catch (error) {
      this.#write(`   ${this.#style.bad('✗')} ${text}\n`);
      throw error;
    }
    const ms = performance.now() - since;
    this.#claims += 1;
    if (remember !== undefined) this.#times.push({ what: remember, ms });
    const time = this.#style.faint(seconds(ms));
    this.#write(`   ${this.#style.good('✓')} ${text.padEnd(claimColumns)} ${time}\n`);
  }

  /** Keeps something measured for the end. */
  note(what: string, value: string): void {
    this.#facts.push({ what, value });
  }

  /** Now, as `since` of a claim takes it. */
  now(): number {
    return performance.now();
  }

  /** Ends the story with the times from cause to effect and with what was noted. */
  end(): void {
    const total = ((performance.now() - this.#began) / 1000).toFixed(0);
    this.#write(`\n${this.#style.strong('From cause to effect, and what it takes')}\n`);
    for (const { what, ms } of this.#times) {
      this.#write(`   ${what.padEnd(claimColumns + 2)} ${seconds(ms)}\n`);
    }
    for (const { what, value } of this.#facts)
      this.#write(`   ${what.padEnd(claimColumns + 2)} ${value.padStart(8)}\n`);
    this.#write(`\n${this.#style.good(`All ${this.#claims} claims hold`)}, in ${total} s.\n\n`);
  }

  /** Ends the story with the claim that failed. */
  fail(error: unknown): void {
    const { message, cause } = error as Error;
    const because = cause instanceof Error ? ` (${cause.message})` : '';
    this.#write(`\n${this.#style.bad('A claim does not hold:')} ${message}${because}\n\n`);
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2).padStart(6)} s`;
}
