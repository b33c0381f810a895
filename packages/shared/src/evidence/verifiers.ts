import type { EvidenceVerifier } from './appraisal.js';
import { earVerifier } from './service-token/ear.js';
import { itaVerifier } from './service-token/ita.js';
import { maaVerifier } from './service-token/maa.js';
import { nrasVerifier } from './service-token/nras.js';
import { azureAciVerifier } from './x-az-aci/verifier.js';
import { azureCvmVerifier } from './x-az-cvm/verifier.js';
import { nvVerifier } from './x-nv-gpu/verifier.js';
import { snpVerifier } from './x-snp/verifier.js';
import { tdxVerifier } from './x-tdx/verifier.js';
import { tpmVerifier } from './x-tpm/verifier.js';

/** Every verifier, one line per namespace. */
export const verifiers: readonly EvidenceVerifier[] = registryOf([
  snpVerifier,
  nvVerifier,
  tdxVerifier,
  tpmVerifier,
  azureCvmVerifier,
  azureAciVerifier,
  nrasVerifier,
  maaVerifier,
  itaVerifier,
  earVerifier,
]);

/** The verifier of a namespace; undefined when none knows it, which counts as "no". */
export function verifierOf(namespace: string): EvidenceVerifier | undefined {
  return verifiers.find((verifier) => verifier.namespace === namespace);
}

/** Makes a registry. Throws when two verifiers claim the same namespace: that is a mistake in the program. */
export function registryOf(entries: readonly EvidenceVerifier[]): readonly EvidenceVerifier[] {
  const namespaces = entries.map((verifier) => verifier.namespace);
  const twice = namespaces.find((namespace, index) => namespaces.indexOf(namespace) !== index);
  if (twice !== undefined) throw new Error(`Two verifiers claim the namespace ${twice}.`);
  return entries;
}
