import { refusal } from './errors.js';

/** The kinds of identity of a federation. Operators, auditors and frameworks are never participants. */
export const roles = ['site', 'server', 'operator', 'framework', 'auditor'] as const;
export type Role = (typeof roles)[number];

/** An identity: `spiffe://<trust domain>/<role>/<name>` (SPIFFE ID specification, section 2). */
export interface Identity {
  readonly trustDomain: string;
  readonly role: Role;
  readonly name: string;
}

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const spiffeId = /^spiffe:\/\/([a-z0-9._-]{1,255})\/([a-z]+)\/([^/]+)$/;

/** Whether a name may be a participant's, an operator's or a framework's: a DNS label (RFC 1123). */
export function isName(name: string): boolean {
  return label.test(name);
}

/** Whether a string may be a trust domain. */
export function isTrustDomain(name: string): boolean {
  return /^[a-z0-9._-]{1,255}$/.test(name);
}

/** Refuses names that are not DNS labels. Errors: PARTICIPANT_NAME_INVALID. */
export function requireName(name: string, path: string): string {
  if (!isName(name)) throw refusal('PARTICIPANT_NAME_INVALID', { path });
  return name;
}

/** Writes an identity as its SPIFFE id. */
export function formatSpiffeId({ trustDomain, role, name }: Identity): string {
  return `spiffe://${trustDomain}/${role}/${name}`;
}

/** Reads a SPIFFE id; undefined when it is not one of a Muster federation. */
export function parseSpiffeId(uri: string): Identity | undefined {
  const [, trustDomain, role, name] = spiffeId.exec(uri) ?? [];
  if (trustDomain === undefined || role === undefined || name === undefined || !isName(name))
    return undefined;
  const known = roles.find((candidate) => candidate === role);
  return known === undefined ? undefined : { trustDomain, role: known, name };
}
