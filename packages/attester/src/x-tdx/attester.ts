import * as z from 'zod';
import type { Clock } from '@muster/shared/clock.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { parseQuote } from '@muster/shared/evidence/x-tdx/quote.js';
import { generationFailed, type Attester } from '../attester.js';
import { commonOptions } from '../options.js';
import { collectTsmReport } from '../tsm-report.js';

const namespace = 'x-tdx';
/** More than any quote with its padding, bytes. */
const maxQuoteBytes = 64 * 1024;

/** The configuration of the attester of Intel TDX. docs/attesters.md describes it field by field. */
export const tdxOptions = z.strictObject({
  namespace: z.literal(namespace),
  ...commonOptions,
  /** The directory of configfs-tsm, the one interface of Linux that gives quotes. */
  report_directory: z.string().min(1).default('/sys/kernel/config/tsm/report'),
});

/** Makes the attester of Intel TDX. It gives up as soon as its signal says so; nothing else bounds its time. */
export function tdxAttester(options: z.output<typeof tdxOptions>, clock: Clock): Attester {
  const never = new AbortController().signal;
  return {
    namespace,
    async collect(reportData, { signal = never } = {}) {
      const directory = {
        namespace,
        path: options.report_directory,
        provider: 'tdx_guest',
        maxReportBytes: maxQuoteBytes,
        clock,
      } as const;
      const { report } = await collectTsmReport(directory, reportData, signal);
      return toEvidence(report, reportData);
    },
  };
}

/**
 * Makes evidence of what the device delivered. Errors: ATTESTATION_GENERATION_FAILED when it is no quote, or one that
 * answers another request. It is not verified here.
 */
function toEvidence(quote: Uint8Array, reportData: Uint8Array): Evidence {
  const parsed = parseQuote(quote);
  if ('code' in parsed) {
    throw generationFailed(
      namespace,
      `the device returned ${quote.length} bytes, not a quote: ${parsed.message}`,
    );
  }
  if (!Buffer.from(parsed.report.reportData).equals(reportData)) {
    throw generationFailed(namespace, 'the device returned a quote that answers another request.');
  }
  return { namespace, evidence: quote };
}
