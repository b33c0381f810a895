import { createHash } from 'node:crypto';
import type { Evidence } from '../appraisal.js';

/** Length of the nonce that an NVIDIA device answers, bytes. */
export const gpuNonceLength = 32;

const label = 'muster-gpu-nonce-v1';

/** The namespaces whose evidence is of the VM itself: the GPU is bound to them. */
const cpuNamespaces = ['x-snp', 'x-tdx', 'x-az-cvm', 'x-az-aci'];

/**
 * The nonce that GPUs are asked to answer: SHA-256(label || report data || SHA-256(CPU evidence)), the last part only
 * where the participant has such evidence. The report data (64 bytes) names the challenge, the participant and its
 * key; the CPU evidence, which carries the same report data, adds the very VM that the GPU is in.
 */
export function gpuNonce(reportData: Uint8Array, cpuEvidence?: Uint8Array): Uint8Array {
  const hash = createHash('sha256').update(label).update(reportData);
  if (cpuEvidence !== undefined) hash.update(createHash('sha256').update(cpuEvidence).digest());
  return Uint8Array.from(hash.digest());
}

/**
 * The evidence that a GPU is bound to, among that of the participant's other namespaces: undefined where there is none.
 * With several the first of a fixed order counts, so that attester and verifier choose alike.
 */
export function bindingEvidence(related: readonly Evidence[]): Uint8Array | undefined {
  for (const namespace of cpuNamespaces) {
    const found = related.find((evidence) => evidence.namespace === namespace);
    if (found !== undefined) return found.evidence;
  }
  return undefined;
}
