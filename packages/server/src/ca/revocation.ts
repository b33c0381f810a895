import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import { auditLog } from '../audit/log.js';
import type { ServerConfig } from '../config/config.js';
import { revokeCertificates, selectAcceptedCertificates } from '../store/certificates.js';
import type { CertificateRow } from '../store/schema.js';
import type { Store } from '../store/store.js';
import { issuedRoles } from './credential.js';

/** Which credentials: all of a name, or the one of a serial number. */
export interface CredentialSelection {
  readonly role: (typeof issuedRoles)[number];
  readonly name: string;
  /** Hex. */
  readonly serial?: string | undefined;
}

/** The credentials of operators, frameworks and auditors that are accepted now. */
export async function listCredentials(store: Store, clock: Clock): Promise<readonly CertificateRow[]> {
  const accepted = await store.transaction((tx) => selectAcceptedCertificates(tx, clock.now()));
  return accepted.filter(({ role }) => issuedRoles.some((issued) => issued === role));
}

/**
 * Revokes credentials on the server's host, whether the server runs or not. A running server refuses their calls at once
 * and ends their streams within a second. Returns how many it were. Errors: CREDENTIAL_UNKNOWN, STORE_*.
 */
export function revokeCredential(
  store: Store,
  { name: serverName, trust_domain: trustDomain }: ServerConfig,
  selection: CredentialSelection,
  clock: Clock,
): Promise<number> {
  const { role, name } = selection;
  const { serial, ...subject } = selection;
  return store.transaction(async (tx) => {
    const chosen = serial === undefined ? subject : { ...subject, serial };
    const revoked = await revokeCertificates(tx, chosen, clock.now().getTime());
    if (revoked === 0) throw refusal('CREDENTIAL_UNKNOWN');
    await auditLog(clock).append(tx, {
      actor: formatSpiffeId({ trustDomain, role: 'server', name: serverName }),
      action: 'credential.revoke',
      subject: `${role}/${name}`,
      decision: 'done',
      reasons: [],
      ...(serial !== undefined && { comment: `serial ${serial}` }),
    });
    return revoked;
  });
}
