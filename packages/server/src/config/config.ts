import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { loadYaml } from '@muster/shared/config/load.js';
import { loadSimulatedRoots } from '@muster/shared/config/simulated-roots.js';
import type { SimulatedRoot } from '@muster/shared/evidence/appraisal.js';
import { requireFolder } from '@muster/shared/files.js';
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
  if (offline !== undefined) requireFolder(path(offline), 'endorsements.offline_directory');
  return {
    ...config,
    data_directory: path(config.data_directory),
    endorsements: {
      ...config.endorsements,
      ...(offline !== undefined && { offline_directory: path(offline) }),
    },
    policy: loadPolicy(policyFile),
    policyDigest: createHash('sha256').update(readFileSync(policyFile)).digest('hex'),
    simulatedRoots: loadSimulatedRoots(simulated_roots, path),
  };
}
