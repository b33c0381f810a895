import type { Compilable, CompiledQuery, QueryResult } from 'kysely';
import type { Transaction } from './store.js';

/** Stands for a value that is not known before the statement runs. */
class StandIn {
  readonly name: PropertyKey;

  constructor(name: PropertyKey) {
    this.name = name;
  }
}

/**
 * A statement that kysely builds and compiles once, for those that run hundreds of times a second: to build and compile
 * one takes longer than to run it. `build` is called with stand-ins for the values and may only hand them on as such.
 * It compiles for the database of its first transaction; a process has one kind.
 */
export function statement<Values extends object, Row>(
  build: (tx: Transaction, values: Values) => Compilable<Row>,
): (tx: Transaction, values: Values) => Promise<QueryResult<Row>> {
  let compiled: CompiledQuery<Row> | undefined;
  const standIns = new Proxy({}, { get: (_, name) => new StandIn(name) }) as Values;
  return (tx, values) => {
    compiled ??= build(tx, standIns).compile();
    const parameters = compiled.parameters.map((parameter) =>
      parameter instanceof StandIn ? values[parameter.name as keyof Values] : parameter,
    );
    return tx.executeQuery({ ...compiled, parameters });
  };
}
