import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { writeDocument, type DeviceEvidence } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { bindingEvidence, gpuNonce } from '@muster/shared/evidence/x-nv-gpu/nonce.js';
import { parseReport } from '@muster/shared/evidence/x-nv-gpu/report.js';
import { splitCertificates } from '@muster/shared/evidence/x509.js';
import { failed, namespace } from './failure.js';
import type { DeviceLibrary, LibraryDevice } from './library.js';
import { openNscq } from './nscq.js';
import { openNvml, type ConfComputeState } from './nvml.js';

/** Where the evidence of a machine's devices comes from. */
export interface GpuLibraries {
  /** NVML. */
  readonly library: string;
  /** NSCQ; undefined where the machine's switches are not to be collected. */
  readonly switchLibrary?: string | undefined;
}

/** What a collection answers to. */
export interface GpuRequest {
  readonly reportData: Uint8Array;
  /** The evidence of the machine's other attesters in the same round. */
  readonly related: readonly Evidence[];
}

/**
 * Collects the evidence of every GPU of this machine, and of every switch: one document, one nonce, one report and chain
 * per device. Errors: NV_CONFIDENTIAL_COMPUTING_OFF; ATTESTATION_GENERATION_FAILED, with the device as path where one of
 * them failed; the signal's reason.
 */
export async function collectDevices(
  { library, switchLibrary }: GpuLibraries,
  { reportData, related }: GpuRequest,
  signal: AbortSignal,
): Promise<Evidence> {
  const nonce = gpuNonce(reportData, bindingEvidence(related));
  const nvml = await openNvml(library);
  try {
    const state = await nvml.state();
    requireConfidentialComputing(state);
    const gpus = await collectAll(nvml, nonce, signal);
    if (gpus.length === 0) throw failed('the driver finds no GPU in this machine.');
    const switches = switchLibrary === undefined ? [] : await collectSwitches(switchLibrary, nonce, signal);
    const settings = { devtools_mode: state.devtoolsMode, multi_gpu_mode: state.multiGpuMode };
    return { namespace, evidence: writeDocument({ devices: [...gpus, ...switches], settings }) };
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

async function collectSwitches(
  library: string,
  nonce: Uint8Array,
  signal: AbortSignal,
): Promise<readonly DeviceEvidence[]> {
  const nscq = await openNscq(library);
  try {
    const switches = await collectAll(nscq, nonce, signal);
    if (switches.length === 0) throw failed('NSCQ finds no switch in this machine.');
    return switches;
  } finally {
    await nscq.close();
  }
}

async function collectAll<Device extends LibraryDevice>(
  library: DeviceLibrary<Device>,
  nonce: Uint8Array,
  signal: AbortSignal,
): Promise<readonly DeviceEvidence[]> {
  const collected: DeviceEvidence[] = [];
  for (const device of await library.devices()) {
    signal.throwIfAborted();
    collected.push(await collectFrom(library, device, nonce));
  }
  return collected;
}

async function collectFrom<Device extends LibraryDevice>(
  library: DeviceLibrary<Device>,
  device: Device,
  nonce: Uint8Array,
): Promise<DeviceEvidence> {
  const fault = (what: string): Error => failed(`the device returned ${what}.`, { device: device.name });
  const certificates = splitCertificates(withoutPadding(await library.certificates(device)));
  if (certificates === undefined) throw fault('a certificate chain that is not readable');
  const bytes = await library.report(device, nonce);
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
