import * as z from 'zod';
import type { Clock } from '@muster/shared/clock.js';
import { shortNonce } from '@muster/shared/evidence/nonce.js';
import { parseHclReport } from '@muster/shared/evidence/x-az-cvm/hcl-report.js';
import { parseSignature } from '@muster/shared/evidence/x-tpm/signature.js';
import { generationFailed, type Attester } from '../attester.js';
import { askService } from '../azure-service.js';
import { commonOptions } from '../options.js';
import { TpmError } from '../x-tpm/commands.js';
import { withTpm } from '../x-tpm/device.js';
import { readNv } from '../x-tpm/nv.js';
import { takeQuote } from '../x-tpm/quote.js';

const namespace = 'x-az-cvm';
const hclReportIndex = 0x0140_0001;
const attestationKey = 0x8100_0003;
const allPcrs = Array.from({ length: 24 }, (_, index) => index);
/** A TD report in the place of the hardware's report, bytes. */
const tdReportBytes = 1024;

const certificationSchema = z.looseObject({ vcekCert: z.string().min(1) });
const tdQuoteSchema = z.looseObject({ quote: z.string().min(1) });

/** The configuration of the attester of an Azure confidential VM. docs/attesters.md describes it field by field. */
export const azureCvmOptions = z.strictObject({
  namespace: z.literal(namespace),
  ...commonOptions,
  /** The vTPM's device. */
  device: z.string().min(1).default('/dev/tpmrm0'),
  /** The metadata service. */
  metadata_service: z.url().default('http://169.254.169.254'),
});

/** Makes the attester of an Azure confidential VM, on SEV-SNP or TDX: the vTPM tells which. */
export function azureCvmAttester(
  { device, metadata_service: service }: z.output<typeof azureCvmOptions>,
  clock: Clock,
): Attester {
  const tpm = { path: device, clock };
  const never = new AbortController().signal;

  async function hardwareParts(report: Buffer, signal: AbortSignal): Promise<Record<string, string>> {
    const hcl = parseHclReport(report);
    if (hcl === undefined) throw new TpmError('the vTPM holds no HCL report.');
    if (hcl.tee === 'snp') {
      const url = new URL('/metadata/THIM/amd/certification', service).href;
      const request = { headers: { Metadata: 'true' }, signal };
      const { vcekCert } = await askService(namespace, url, request, certificationSchema);
      return { vcek: derOf(vcekCert) };
    }
    const tdReport = Buffer.from(hcl.hardwareReport.subarray(0, tdReportBytes)).toString('base64url');
    const request = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ report: tdReport }),
      signal,
    };
    const { quote } = await askService(
      namespace,
      new URL('/acc/tdquote', service).href,
      request,
      tdQuoteSchema,
    );
    return { td_quote: quote };
  }

  return {
    namespace,
    async collect(reportData, { signal = never } = {}) {
      try {
        const report = await withTpm(tpm, signal, (send) => readNv(send, hclReportIndex));
        const parts = await hardwareParts(report, signal);
        const selection = [{ bank: 'sha256', indexes: allPcrs }] as const;
        const request = { key: attestationKey, nonce: shortNonce(reportData), selection };
        const { message, signature, pcrs } = await takeQuote(tpm, request, signal);
        const json = {
          version: 1,
          hcl_report: report.toString('base64url'),
          tpm_quote: { message: hexOf(message), signature: hexOf(plain(signature)), pcrs: pcrs.map(hexOf) },
          ...parts,
        };
        return { namespace, evidence: new TextEncoder().encode(JSON.stringify(json)) };
      } catch (error) {
        if (error instanceof TpmError) throw generationFailed(namespace, error.message, error);
        throw error;
      }
    },
  };
}

/** The signature of the vTPM without the structure around it. */
function plain(signature: Uint8Array): Uint8Array {
  const parsed = parseSignature(signature);
  if (parsed?.scheme === 'rsassa' && parsed.hash === 'sha256') return parsed.signature;
  throw new TpmError('the vTPM signs by another scheme than RSASSA with SHA-256.');
}

/** The content of a certificate in PEM, base64. */
function derOf(pem: string): string {
  return pem.replace(/-----(?:BEGIN|END) CERTIFICATE-----/g, '').replace(/\s/g, '');
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
