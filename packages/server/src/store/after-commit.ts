import type { Transaction } from './store.js';

const effects = new WeakMap<Transaction, (() => void)[]>();

/**
 * Runs an effect once the transaction is committed, and never when it is rolled back: memory follows the store. Effects
 * run in the order of registration, before `Store.transaction` resolves; they must not throw.
 */
export function afterCommit(tx: Transaction, effect: () => void): void {
  const registered = effects.get(tx);
  if (registered === undefined) effects.set(tx, [effect]);
  else registered.push(effect);
}

/** For implementations of `Store`: runs the effects of a transaction that was committed. */
export function runAfterCommit(tx: Transaction): void {
  for (const effect of effects.get(tx) ?? []) effect();
  effects.delete(tx);
}
