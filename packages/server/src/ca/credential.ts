import { createPublicKey } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { requireWritableFolder } from '@muster/shared/files.js';
import { publicKeyDer, toPem } from '@muster/shared/pki/certificate.js';
import { formatSpiffeId, requireName, type Role } from '@muster/shared/spiffe.js';
import { stringify } from 'yaml';
import { auditLog } from '../audit/log.js';
import type { ServerConfig } from '../config/config.js';
import { openSqliteStore } from '../store/sqlite.js';
import { openAuthority } from './authority.js';
import { createKey, keyPem } from './key-file.js';

/** The roles that get their credentials from the server's operator. Sites enrol, and the server certifies itself. */
export const issuedRoles = ['operator', 'framework', 'auditor'] as const satisfies readonly Role[];

/** What a credential is for. */
export interface CredentialRequest {
  readonly role: (typeof issuedRoles)[number];
  readonly name: string;
  /** The folder that its files are written to; made if need be. */
  readonly out: string;
  readonly lifetimeMs: number;
}

const names = {
  key: 'key.pem',
  certificate: 'certificate.pem',
  bundle: 'bundle.pem',
  profile: 'profile.yaml',
} as const;

/**
 * Issues a credential on the server's host, whether the server runs or not: key.pem, certificate.pem, bundle.pem and
 * profile.yaml, which is what `muster --profile` takes. Errors: PARTICIPANT_NAME_INVALID, FILE_EXISTS, FILE_UNWRITABLE, STORE_*.
 */
export async function issueCredential(
  config: ServerConfig,
  { role, name, out, lifetimeMs }: CredentialRequest,
  clock: Clock,
): Promise<{ readonly profile: string; readonly notAfter: Date }> {
  requireName(name, '--name');
  const path = (file: string): string => join(resolve(out), file);
  const taken = Object.values(names).map(path).find(existsSync);
  if (taken !== undefined) throw refusal('FILE_EXISTS', { message: `${taken} exists already.`, path: taken });
  requireWritableFolder(resolve(out), '--out');

  const store = await openSqliteStore(config.data_directory, 'administration');
  try {
    const ca = await openAuthority(store, config.data_directory, config.trust_domain, clock);
    const key = createKey();
    const publicKey = publicKeyDer(createPublicKey(key));
    const server = { trustDomain: config.trust_domain, role: 'server', name: config.name } as const;
    const { chain, notAfter } = await store.transaction(async (tx) => {
      await auditLog(clock).append(tx, {
        actor: formatSpiffeId(server),
        action: 'credential.issue',
        subject: `${role}/${name}`,
        decision: 'done',
        reasons: [],
      });
      return ca.issue(tx, { role, name }, publicKey, lifetimeMs);
    });
    writeFileSync(path(names.key), keyPem(key), { mode: 0o600, flag: 'wx' });
    writeFileSync(path(names.certificate), toPem(chain), { flag: 'wx' });
    writeFileSync(path(names.bundle), ca.bundlePem, { flag: 'wx' });
    writeFileSync(path(names.profile), profileOf(config), { flag: 'wx' });
    return { profile: path(names.profile), notAfter };
  } finally {
    await store.close();
  }
}

/** The names and addresses by which clients reach the server. */
export function advertisedHosts({ listen }: ServerConfig): readonly string[] {
  const bound = [listen.session.host, listen.enrollment.host].filter((host) => !isWildcard(host));
  const hosts = [...listen.advertise, ...bound];
  return [...new Set(hosts.length > 0 ? hosts : [hostname()])];
}

function profileOf(config: ServerConfig): string {
  const [host = 'localhost'] = advertisedHosts(config);
  const { certificate, key, bundle } = names;
  return stringify({
    server: `${host.includes(':') ? `[${host}]` : host}:${config.listen.session.port}`,
    trust_domain: config.trust_domain,
    certificate,
    key,
    bundle,
  });
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}
