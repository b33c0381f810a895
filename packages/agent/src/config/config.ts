import { dirname, resolve } from 'node:path';
import { attestersConfigSchema } from '@muster/attester/attesters.js';
import { duration } from '@muster/shared/config/duration.js';
import { loadYaml } from '@muster/shared/config/load.js';
import { loadSimulatedRoots, simulatedRootsSchema } from '@muster/shared/config/simulated-roots.js';
import type { SimulatedRoot } from '@muster/shared/evidence/appraisal.js';
import { requireFolder } from '@muster/shared/files.js';
import { loadPolicy, type Policy } from '@muster/shared/policy/policy.js';
import { isName, isTrustDomain } from '@muster/shared/spiffe.js';
import * as z from 'zod';

const file = z.string().min(1);

const address = z.string().refine((text) => {
  const [, port] = /^(?:\[[0-9a-f:.]+\]|[a-z0-9.-]+):(\d{1,5})$/i.exec(text) ?? [];
  return port !== undefined && Number(port) <= 65_535;
}, 'expected host:port, such as muster.example:8443');

const trust = z
  .strictObject({
    /** SHA-256 over the SubjectPublicKeyInfo of the federation's CA. */
    ca_hash: z
      .string()
      .regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256: and 64 hexadecimal digits in lower case')
      .optional(),
    /** The federation's CA certificates, PEM. */
    bundle_file: file.optional(),
  })
  .refine(({ ca_hash, bundle_file }) => (ca_hash === undefined) !== (bundle_file === undefined), {
    error: 'expected either ca_hash or bundle_file',
  });

/** The agent's configuration file. docs/agent.md describes it; durations are milliseconds once read. */
export const configSchema = z.strictObject({
  name: z.string().refine(isName, 'expected a DNS label'),
  trust_domain: z.string().refine(isTrustDomain, 'expected a trust domain').optional(),
  server: z.strictObject({ session: address, enrollment: address }),
  trust,
  join_token_file: file,
  state_directory: file,
  /** The Unix socket of the local API. */
  socket: file,
  /** This site's own policy file, by which it judges the server and the other sites. */
  policy: file,
  /** No default: a site without attesters has to say so. */
  attesters: attestersConfigSchema,
  simulated_roots: simulatedRootsSchema,
  endorsements: z
    .strictObject({
      offline_directory: file.optional(),
      /** Whether the attestation services that the policy names are asked for their keys. */
      online: z.boolean().default(true),
    })
    .prefault({}),
  jobs: z
    .strictObject({
      /** Between SIGTERM and SIGKILL when the agent stops jobs by itself. */
      grace: duration('0s', '10m').default(10_000),
      /** The cgroup v2 directory below which each run gets its own. */
      cgroup: file.optional(),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
      format: z.enum(['json', 'text']).default('json'),
    })
    .prefault({}),
});

/** An agent's configuration with the files that it names: paths are absolute, the policy is loaded. */
export interface AgentConfig extends Omit<z.output<typeof configSchema>, 'policy' | 'simulated_roots'> {
  readonly policy: Policy;
  /** Not empty means that simulated devices are accepted. */
  readonly simulatedRoots: readonly SimulatedRoot[];
}

/**
 * Loads a configuration file; the paths in it are relative to its folder.
 * Errors: FILE_UNREADABLE, CONFIG_INVALID and POLICY_INVALID with the path to each offending value.
 */
export function loadConfig(configFile: string): AgentConfig {
  const { policy, simulated_roots, ...config } = loadYaml(configFile, configSchema, 'CONFIG_INVALID');
  const path = (name: string): string => resolve(dirname(configFile), name);
  const { bundle_file, ca_hash } = config.trust;
  const offline = config.endorsements.offline_directory;
  if (offline !== undefined) requireFolder(path(offline), 'endorsements.offline_directory');
  return {
    ...config,
    trust: {
      ...(ca_hash !== undefined && { ca_hash }),
      ...(bundle_file !== undefined && { bundle_file: path(bundle_file) }),
    },
    join_token_file: path(config.join_token_file),
    state_directory: path(config.state_directory),
    socket: path(config.socket),
    endorsements: {
      ...config.endorsements,
      ...(offline !== undefined && { offline_directory: path(offline) }),
    },
    policy: loadPolicy(path(policy)),
    simulatedRoots: loadSimulatedRoots(simulated_roots, path),
  };
}

/** Reads only where the local API of an agent is. Errors: as {@link loadConfig}, without those of the policy. */
export function loadSocketPath(configFile: string): string {
  const { socket } = loadYaml(configFile, configSchema, 'CONFIG_INVALID');
  return resolve(dirname(configFile), socket);
}
