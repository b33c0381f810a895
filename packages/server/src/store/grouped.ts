import { setImmediate } from 'node:timers/promises';
import type { Store, Transaction } from './store.js';
import { Turns } from './turns.js';

/** How many works share a transaction at most. */
const maxTogether = 32;

/** What is to be written; works with different keys do not depend on each other. */
export interface Work<Result> {
  readonly key: string;
  run(tx: Transaction): Promise<Result>;
}

interface Entry<Result> {
  readonly work: Work<Result>;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs the works that come in one turn of the event loop in one transaction, since a commit costs as much as what it
 * writes. Works with the same key do not share one and keep their order. When one of several rejects, nothing of them is
 * written and each is run again alone: none takes others with it.
 */
export class Grouped<Result> {
  readonly #store: Store;
  readonly #turns = new Turns();
  #waiting: Entry<Result>[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  /** Runs a work; resolves when it is on the disk. Errors: those of the work and of the store. */
  run(work: Work<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject });
      if (this.#waiting.length === 1) void this.#begin();
    });
  }

  async #begin(): Promise<void> {
    await setImmediate();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const entries of groupsOf(waiting)) {
      void this.#turns.take(() => new Promise<void>((onRun) => void this.#write(entries, onRun)));
    }
  }

  /** Calls back when the works have run or are in line to run alone: what comes next is behind them from then on. */
  async #write(entries: readonly Entry<Result>[], onRun: () => void): Promise<void> {
    let hasRun = false;
    try {
      const results = await this.#store.transaction(async (tx) => {
        const done: Result[] = [];
        for (const { work } of entries) done.push(await work.run(tx));
        hasRun = true;
        onRun();
        return done;
      });
      for (const [index, result] of results.entries()) entries[index]?.resolve(result);
    } catch (error) {
      if (hasRun || entries.length === 1) for (const { reject } of entries) reject(error);
      else for (const entry of entries) void this.#write([entry], onRun);
      onRun();
    }
  }
}

function groupsOf<Result>(entries: readonly Entry<Result>[]): readonly (readonly Entry<Result>[])[] {
  const groups: Entry<Result>[][] = [];
  for (const entry of entries) {
    const last = groups.at(-1);
    const fits = last?.every(({ work }) => work.key !== entry.work.key) && last.length < maxTogether;
    if (fits) last?.push(entry);
    else groups.push([entry]);
  }
  return groups;
}
