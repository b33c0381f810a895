import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { refusal } from '../errors.js';
import type { SimulatedRoot } from '../evidence/appraisal.js';
import { verifierOf } from '../evidence/verifiers.js';
import { fileProblem } from '../files.js';
import { publicKeyDer } from '../pki/certificate.js';

/** The part `simulated_roots` of a configuration: the root certificates of simulated devices, PEM or DER files. */
export const simulatedRootsSchema = z
  .array(
    z.strictObject({
      namespace: z
        .string()
        .refine((namespace) => verifierOf(namespace) !== undefined, 'no verifier knows this namespace'),
      certificate: z.string().min(1),
    }),
  )
  .default([]);

/** Reads the certificates of simulated roots. `path` makes a file name absolute. Errors: CONFIG_INVALID. */
export function loadSimulatedRoots(
  roots: z.output<typeof simulatedRootsSchema>,
  path: (file: string) => string,
): readonly SimulatedRoot[] {
  return roots.map(({ namespace, certificate }, index) => {
    const where = `simulated_roots[${index}].certificate`;
    const file = path(certificate);
    let content: Buffer;
    try {
      content = readFileSync(file);
    } catch (cause) {
      const message = `${where}: ${file} cannot be read: ${fileProblem(cause)}.`;
      throw refusal('CONFIG_INVALID', { message, path: where }, cause);
    }
    try {
      const { publicKey } = new X509Certificate(content);
      const fingerprint = createHash('sha256').update(publicKeyDer(publicKey)).digest('hex');
      return { namespace, fingerprint };
    } catch (cause) {
      const message = `${where}: ${file} holds no certificate.`;
      throw refusal('CONFIG_INVALID', { message, path: where }, cause);
    }
  });
}
