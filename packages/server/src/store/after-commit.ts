import type { Transaction } from './store.js';

type Effect = () => void;
interface Effects {
  readonly atCommit: Effect[];
  readonly afterCommit: Effect[];
}

const registered = new WeakMap<Transaction, Effects>();

/**
 * Runs an effect when the transaction is committed, before any other transaction begins, and never when it is rolled
 * back: for memory that other transactions decide by. What was committed may not be on the disk yet, so that nothing may
 * leave this process. Effects run in the order of registration; they must not throw.
 */
export function atCommit(tx: Transaction, effect: Effect): void {
  effectsOf(tx).atCommit.push(effect);
}

/**
 * Runs an effect once what the transaction has written cannot be lost any more, before `Store.transaction` resolves, and
 * never when it is rolled back: for whatever leaves this process. Transactions' effects run in the order of their
 * commits, and each one's in the order of registration; they must not throw.
 */
export function afterCommit(tx: Transaction, effect: Effect): void {
  effectsOf(tx).afterCommit.push(effect);
}

/** For implementations of `Store`: runs the effects of one kind of a transaction that was committed. */
export function runEffects(tx: Transaction, kind: keyof Effects): void {
  for (const effect of registered.get(tx)?.[kind] ?? []) effect();
}

function effectsOf(tx: Transaction): Effects {
  const effects = registered.get(tx) ?? { atCommit: [], afterCommit: [] };
  registered.set(tx, effects);
  return effects;
}
