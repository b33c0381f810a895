import { MusterError, refusal } from '@muster/shared/errors.js';

const isFull = /^(SQLITE_FULL|ENOSPC|EDQUOT)$/;
const isCorrupt = /^SQLITE_(CORRUPT.*|NOTADB)$/;
/** A mistake in a query or a constraint that did its work: for the caller to handle, not a failure of the store. */
const isQuery = /^SQLITE_(ERROR|CONSTRAINT.*)$/;
const isSystem = /^(SQLITE_.*|E[A-Z0-9]+)$/;

/**
 * What a failure of the database or of its file means. Anything that is not one, such as the refusal that rolled a
 * transaction back, is returned as it is.
 */
export function storeError(error: unknown): unknown {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  if (error instanceof MusterError || typeof code !== 'string' || isQuery.test(code)) return error;
  if (isFull.test(code)) return refusal('STORE_FULL', {}, error);
  if (isCorrupt.test(code)) return refusal('STORE_CORRUPT', {}, error);
  return isSystem.test(code) ? refusal('STORE_UNAVAILABLE', {}, error) : error;
}
