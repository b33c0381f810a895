import { createHash } from 'node:crypto';

/** Length of the report data that evidence is bound to, bytes. */
const reportDataBytes = 64;

/**
 * Whether the nonce in an evidence answers report data. Formats with a nonce of variable length carry the report data
 * itself, whose trailing zeros may be left out, or its SHA-256 where they hold less than 64 bytes. An empty nonce
 * answers nothing.
 */
export function answers(nonce: Uint8Array, reportData: Uint8Array): boolean {
  if (nonce.length === 0 || nonce.length > reportDataBytes) return false;
  const padded = Buffer.alloc(reportDataBytes);
  padded.set(nonce);
  return padded.equals(reportData) || shortNonce(reportData).equals(nonce);
}

/** The nonce for formats that hold less than 64 bytes: SHA-256 of the report data. */
export function shortNonce(reportData: Uint8Array): Buffer {
  return createHash('sha256').update(reportData).digest();
}
