import { createHash } from 'node:crypto';

/**
 * The runtime data that a sidecar or client is asked to bind to its hardware's report: exactly these bytes, so that a
 * verifier knows their digest.
 */
export function runtimeData(reportData: Uint8Array): Buffer {
  return Buffer.from(JSON.stringify({ nonce: Buffer.from(reportData).toString('hex') }));
}

/** What the hardware's report data is when it is bound to runtime data: its SHA-256, padded with zeros, in hex. */
export function boundReportData(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex').padEnd(128, '0');
}
