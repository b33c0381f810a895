import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { loadYaml } from '@muster/shared/config/load.js';
import { refusal } from '@muster/shared/errors.js';
import type { SimulatedRoot } from '@muster/shared/evidence/appraisal.js';
import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import { loadPolicy, type Policy } from '@muster/shared/policy/policy.js';
import type * as z from 'zod';
import { configSchema } from './schema.js';

/** A server's configuration with the files that it names: paths are absolute, the policy is loaded. */
export interface ServerConfig extends Omit<z.output<typeof configSchema>, 'policy' | 'simulated_roots'> {
  readonly policy: Policy;
  /** SHA-256 of the policy file, hex. */
  readonly policyDigest: string;
  /** Not empty means that simulated devices are accepted, which every status then says. */
  readonly simulatedRoots: readonly SimulatedRoot[];
}

/**
 * Loads a configuration file; the paths in it are relative to its folder.
 * Errors: FILE_UNREADABLE, CONFIG_INVALID and POLICY_INVALID with the path to each offending value.
 */
export function loadConfig(configFile: string): ServerConfig {
  const { policy, simulated_roots, ...config } = loadYaml(configFile, configSchema, 'CONFIG_INVALID');
  const path = (name: string): string => resolve(dirname(configFile), name);
  const policyFile = path(policy);
  const offline = config.endorsements.offline_directory;
  return {
    ...config,
    data_directory: path(config.data_directory),
    endorsements: {
      ...config.endorsements,
      ...(offline !== undefined && { offline_directory: path(offline) }),
    },
    policy: loadPolicy(policyFile),
    policyDigest: createHash('sha256').update(readFileSync(policyFile)).digest('hex'),
    simulatedRoots: simulated_roots.map(({ namespace, certificate }, index) => ({
      namespace,
      fingerprint: rootFingerprint(path(certificate), `simulated_roots[${index}].certificate`),
    })),
  };
}

/** SHA-256 over the SubjectPublicKeyInfo of a certificate file, hex. */
function rootFingerprint(file: string, path: string): string {
  try {
    const { publicKey } = new X509Certificate(readFileSync(file));
    return createHash('sha256').update(publicKeyDer(publicKey)).digest('hex');
  } catch (cause) {
    throw refusal('CONFIG_INVALID', { message: `${path}: ${file} holds no certificate.`, path }, cause);
  }
}
