import { sql, type RawBuilder } from 'kysely';

/**
 * The entries of a list in JSON as rows, in the column `value`. A statement takes any number of rows by one parameter,
 * so that it is compiled once.
 */
export function each(list: string): RawBuilder<{ value: string }> {
  return sql`json_each(${list})`;
}
