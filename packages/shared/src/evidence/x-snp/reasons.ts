import type { ReasonEntry } from '../../reasons/entry.js';

/** The reasons of the namespace x-snp. */
export const snpReasons = {
  SNP_REPORT_LENGTH: {
    status: 'INVALID_ARGUMENT',
    summary: 'An SEV-SNP attestation report has exactly 1184 bytes.',
    remedy: "Send the device's report as it is.",
  },
} as const satisfies Record<string, ReasonEntry>;
