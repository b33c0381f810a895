import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { attestersConfigSchema, createAttesters } from '@muster/attester/attesters.js';
import { tdxVerifier } from '@muster/shared/evidence/x-tdx/verifier.js';
import { serveReports, type Attributes } from '../support/report-directory.js';
import { tdxCase } from '../support/tdx-case.js';
import { defaultReportData } from '../support/tdx-quote.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'muster-tdx-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const input = tdxCase({ quote: { padding: new Uint8Array(3000) } });
const quote = input.evidence.evidence;
/** The kernel's driver for TDX has no `auxblob`. */
const healthy = { provider: 'tdx_guest\n', inblob: '', outblob: quote, generation: '1\n' };

async function collect(attributes: Attributes): Promise<unknown> {
  const served = serveReports(directory, () => attributes);
  const config = { namespace: 'x-tdx', report_directory: directory, timeout: '3s' };
  const [attester] = createAttesters(attestersConfigSchema.parse([config]));
  try {
    return await attester?.collect(defaultReportData).catch((error: unknown) => error);
  } finally {
    served.close();
  }
}

it('collects a quote that the verifier affirms', async () => {
  const collected = await collect(healthy);
  expect(collected).toEqual({ namespace: 'x-tdx', evidence: quote });
  const appraisal = tdxVerifier.appraise({ ...input, reportData: defaultReportData });
  expect(appraisal).toMatchObject({ status: 'affirming', unchecked: [] });
});

it.each<[string, Attributes, RegExp]>([
  ['another provider', { provider: 'sev_guest\n' }, /served by "sev_guest", not by tdx_guest/],
  ['a quote that is cut short', { outblob: quote.subarray(0, 1000) }, /1000 bytes, not a quote/],
  ['a quote that is too long', { outblob: new Uint8Array(70_000) }, /larger than 65536/],
  [
    'a quote for another request',
    { outblob: tdxCase({ quote: { report: { reportData: new Uint8Array(64) } } }).evidence.evidence },
    /answers another request/,
  ],
])('refuses %s', async (_, change, message) => {
  expect(await collect({ ...healthy, ...change })).toMatchObject({
    code: 'ATTESTATION_GENERATION_FAILED',
    message: expect.stringMatching(message),
    reasons: [{ namespace: 'x-tdx' }],
  });
});
