import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { writeDocument, type DeviceEvidence } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { bindingEvidence, gpuNonce } from '@muster/shared/evidence/x-nv-gpu/nonce.js';
import { parseReport } from '@muster/shared/evidence/x-nv-gpu/report.js';
import { splitCertificates } from '@muster/shared/evidence/x509.js';
import { failed, namespace } from './failure.js';
import { openNvml, type ConfComputeState, type Gpu, type Nvml } from './nvml.js';

/** What a collection answers to. */
export interface GpuRequest {
  readonly reportData: Uint8Array;
  /** The evidence of the machine's other attesters in the same round. */
  readonly related: readonly Evidence[];
}

/**
 * Collects the evidence of every GPU of this machine: one document, one nonce, one report and chain per GPU.
 * Errors: NV_CONFIDENTIAL_COMPUTING_OFF; ATTESTATION_GENERATION_FAILED, with the GPU as path where one of them failed;
 * the signal's reason.
 */
export async function collectFromNvml(
  library: string,
  { reportData, related }: GpuRequest,
  signal: AbortSignal,
): Promise<Evidence> {
  const nonce = gpuNonce(reportData, bindingEvidence(related));
  const nvml = await openNvml(library);
  try {
    const state = await nvml.state();
    requireConfidentialComputing(state);
    const devices: DeviceEvidence[] = [];
    for (const gpu of await nvml.gpus()) {
      signal.throwIfAborted();
      devices.push(await collectFrom(nvml, gpu, nonce));
    }
    if (devices.length === 0) throw failed('the driver finds no GPU in this machine.');
    const settings = { devtools_mode: state.devtoolsMode, multi_gpu_mode: state.multiGpuMode };
    return { namespace, evidence: writeDocument({ devices, settings }) };
  } finally {
    await nvml.close();
  }
}

/** GPUs behind protected PCIe attest themselves as well, though the driver calls the feature off. */
function requireConfidentialComputing({ environment, isEnabled, multiGpuMode }: ConfComputeState): void {
  if (isEnabled || multiGpuMode !== 'none') return;
  throw failed(
    `confidential computing is off on the GPUs of this machine (environment: ${environment}); turn it on at the host.`,
    { code: 'NV_CONFIDENTIAL_COMPUTING_OFF' },
  );
}

async function collectFrom(nvml: Nvml, gpu: Gpu, nonce: Uint8Array): Promise<DeviceEvidence> {
  const fault = (what: string): Error => failed(`the GPU returned ${what}.`, { device: gpu.name });
  const certificates = splitCertificates(withoutPadding(await nvml.certificates(gpu)));
  if (certificates === undefined) throw fault('a certificate chain that is not readable');
  const bytes = await nvml.report(gpu, nonce);
  const report = parseReport(bytes);
  if ('code' in report) throw fault('a report that is not readable');
  if (!Buffer.from(report.nonce).equals(nonce)) throw fault('a report that answers another request');
  return { report: bytes, certificates };
}

/** Some drivers count the zero bytes after the text. */
function withoutPadding(pem: Uint8Array): Uint8Array {
  const end = pem.indexOf(0);
  return end === -1 ? pem : pem.subarray(0, end);
}
