import { loadYaml } from '@muster/shared/config/load.js';
import { refusal } from '@muster/shared/errors.js';
import type { ClientIdentity } from '@muster/shared/grpc/credentials.js';
import { isTrustDomain } from '@muster/shared/spiffe.js';
import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { readText } from './files.js';

const profileSchema = z.strictObject({
  server: z.string().refine((text) => {
    const [, port] = /^[^\s/]+:(\d{1,5})$/.exec(text) ?? [];
    return port !== undefined && Number(port) <= 65_535;
  }, 'expected host:port, such as muster.example:8443'),
  trust_domain: z.string().refine(isTrustDomain, 'expected a trust domain, such as federation.example'),
  certificate: z.string().min(1),
  key: z.string().min(1),
  bundle: z.string().min(1),
});

/** Which server to call, as whom, and whom to trust. */
export interface Profile {
  /** The server's mTLS endpoint, `host:port`. */
  readonly server: string;
  readonly identity: ClientIdentity;
}

/** The profile's file: the option, else MUSTER_PROFILE, else the user's own. */
export function profileFile(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const configuration = env['XDG_CONFIG_HOME'] ?? join(env['HOME'] ?? homedir(), '.config');
  return option ?? env['MUSTER_PROFILE'] ?? join(configuration, 'muster', 'profile.yaml');
}

/**
 * Loads a profile with the files that it names, relative to its own folder.
 * Errors: FILE_UNREADABLE, PROFILE_INVALID with the path, KEY_FILE_EXPOSED when others than its owner can read the key.
 */
export function loadProfile(file: string): Profile {
  const profile = loadYaml(file, profileSchema, 'PROFILE_INVALID');
  const path = (name: string): string => resolve(dirname(file), name);
  const key = path(profile.key);
  const chain = readText(path(profile.certificate));
  const trustBundle = readText(path(profile.bundle));
  const privateKey = readText(key);
  if (process.platform !== 'win32' && (statSync(key).mode & 0o077) !== 0) {
    throw refusal('KEY_FILE_EXPOSED', { message: `Others than its owner can read ${key}.`, path: 'key' });
  }
  return {
    server: profile.server,
    identity: {
      trustBundle,
      trustDomain: profile.trust_domain,
      certificate: { chain, key: privateKey },
    },
  };
}
