import { createHash } from 'node:crypto';

/** A record of the audit log, as muster.v1.AuditRecord carries it. */
export interface ChainedRecord {
  readonly seq: number | bigint;
  /** Canonical JSON (RFC 8785) of an object that has the same `seq`. */
  readonly content: string;
  /** Hex. */
  readonly hash: string;
  /** Hex. */
  readonly previousHash: string;
}

/** Where a log, or a part of it, begins. */
export interface ChainHead {
  /** The last record before it; 0 for none. */
  readonly seq: number;
  /** That record's hash, hex. */
  readonly hash: string;
}

/** What an audit log looks like before its first record. */
export const emptyChain: ChainHead = { seq: 0, hash: '0'.repeat(64) };

/** What checking a chain found. */
export type ChainCheck =
  | { readonly intact: true; readonly head: ChainHead }
  | { readonly intact: false; readonly seq: number; readonly problem: string };

/** The hash of a record: SHA-256, hex, over the previous record's hash as hex text, followed by the content, UTF-8. */
export function chainHash(previousHash: string, content: string): string {
  return createHash('sha256').update(previousHash).update(content).digest('hex');
}

/**
 * Checks that records follow each other without gap, change or reordering. Whether the log was cut at its end, or
 * rewritten as a whole, shows only against a head that was noted elsewhere: pass it as `after`, or compare the result's.
 */
export function verifyChain(records: Iterable<ChainedRecord>, after: ChainHead = emptyChain): ChainCheck {
  let head = after;
  for (const record of records) {
    const seq = head.seq + 1;
    const problem = problemOf(record, seq, head.hash);
    if (problem !== undefined) return { intact: false, seq, problem };
    head = { seq, hash: record.hash };
  }
  return { intact: true, head };
}

function problemOf(record: ChainedRecord, seq: number, previousHash: string): string | undefined {
  if (Number(record.seq) !== seq) return `record ${seq} is missing; ${record.seq} is in its place`;
  if (record.previousHash !== previousHash) return `record ${seq} does not follow the record before it`;
  if (record.hash !== chainHash(previousHash, record.content)) return `record ${seq} was changed`;
  return seqOf(record.content) === seq ? undefined : `the content of record ${seq} has another number`;
}

function seqOf(content: string): unknown {
  try {
    return (JSON.parse(content) as { readonly seq?: unknown } | null)?.seq;
  } catch {
    return undefined;
  }
}
