import type { EvidenceVerifier } from './appraisal.js';

/** Every verifier, one line per namespace. */
export const verifiers: readonly EvidenceVerifier[] = [];

/** The verifier of a namespace; undefined when none knows it, which counts as "no". */
export function verifierOf(namespace: string): EvidenceVerifier | undefined {
  return verifiers.find((verifier) => verifier.namespace === namespace);
}
