import { timingSafeEqual } from 'node:crypto';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { generationFailed } from '../attester.js';

/** The namespace of AMD SEV-SNP. */
export const namespace = 'x-snp';

/** Length of an SNP attestation report, and where it carries the 64 bytes asked for (SEV-SNP ABI, ATTESTATION_REPORT). */
export const reportBytes = 1184;
const reportDataOffset = 0x50;

/** The largest certificate table that is taken, bytes: four times what Linux allows a host to provide. */
export const maxCertificateTableBytes = 64 * 1024;

/**
 * Makes evidence of what the device delivered. Errors: ATTESTATION_GENERATION_FAILED when it is no report, or one that
 * answers another request. It is not verified here.
 */
export function toEvidence(report: Uint8Array, table: Uint8Array, reportData: Uint8Array): Evidence {
  if (report.length !== reportBytes) {
    throw generationFailed(
      namespace,
      `the device returned ${report.length} bytes instead of a report of ${reportBytes}.`,
    );
  }
  if (!carries(report, reportData)) {
    throw generationFailed(namespace, 'the device returned a report that answers another request.');
  }
  return { namespace, evidence: report, ...(table.length > 0 && { auxiliary: table }) };
}

/** Whether a report carries these 64 bytes. */
export function carries(report: Uint8Array, reportData: Uint8Array): boolean {
  const carried = report.subarray(reportDataOffset, reportDataOffset + reportData.length);
  return carried.length === reportData.length && timingSafeEqual(carried, reportData);
}
