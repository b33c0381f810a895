import type { Store, Transaction } from './store.js';

/** Does the work of items, at least one, in a transaction, and returns the result of each. */
export type BatchWork<Item, Result> = (
  tx: Transaction,
  key: string,
  items: readonly Item[],
) => Promise<readonly Result[]>;

interface Pending<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Works on items of the same key in one transaction: those that come in the same turn of the event loop, or while the
 * transaction waits for others, take part in it. An urgent item makes the transaction of all that wait an urgent one. A
 * transaction that fails is tried again with each of its items alone, so that none takes others with it.
 */
export class Batches<Item, Result> {
  readonly #store: Store;
  readonly #work: BatchWork<Item, Result>;
  readonly #waiting = new Map<string, Pending<Item, Result>[]>();

  constructor(store: Store, work: BatchWork<Item, Result>) {
    this.#store = store;
    this.#work = work;
  }

  /** Adds an item; resolves with its result once that is durable. Errors: those of the work, STORE_*. */
  add(key: string, item: Item, { urgent = false }: { readonly urgent?: boolean } = {}): Promise<Result> {
    return new Promise((resolve, reject) => {
      const pending = { item, resolve, reject };
      const waiting = this.#waiting.get(key);
      if (waiting === undefined) this.#waiting.set(key, [pending]);
      else waiting.push(pending);
      if (waiting !== undefined && !urgent) return;
      setImmediate(() => void this.#run(key, () => this.#take(key), urgent));
    });
  }

  #take(key: string): readonly Pending<Item, Result>[] {
    const waiting = this.#waiting.get(key) ?? [];
    this.#waiting.delete(key);
    return waiting;
  }

  async #run(key: string, take: () => readonly Pending<Item, Result>[], urgent: boolean): Promise<void> {
    let taken: readonly Pending<Item, Result>[] | undefined;
    try {
      const results = await this.#store.transaction(
        async (tx) => {
          taken = take();
          const items = taken.map(({ item }) => item);
          // An urgent transaction may have overtaken this one, and taken all.
          return items.length === 0 ? [] : this.#work(tx, key, items);
        },
        { urgent },
      );
      for (const [index, result] of results.entries()) taken?.[index]?.resolve(result);
    } catch (error) {
      if (taken !== undefined && taken.length > 1) {
        for (const pending of taken) void this.#run(key, () => [pending], urgent);
      } else {
        for (const { reject } of taken ?? take()) reject(error);
      }
    }
  }
}
