import { join } from 'node:path';
import type { EndorsementQuery } from '../evidence/appraisal.js';

/** The vendors whose endorsements are kept in files. */
export const vendors = ['amd', 'intel', 'nvidia'] as const satisfies EndorsementQuery['vendor'][];

/** What a path at a vendor's service is made of; nothing that could leave a directory. */
const safePath = /^(?:[A-Za-z0-9_-]+\/)*[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*(?:\?[A-Za-z0-9=&]+)?$/;

/** What ends the name of the file with the certificates of an answer's signer. */
export const issuerChainSuffix = '.issuer-chain';

/** Every path that a verifier asks for, with the kind of what is there. */
const shapes: readonly (readonly [EndorsementQuery['vendor'], EndorsementQuery['kind'], RegExp])[] = [
  ['amd', 'certificates', /^v[cl]ek\/v1\/[A-Z][A-Za-z]{1,15}\/cert_chain$/],
  ['amd', 'crl', /^v[cl]ek\/v1\/[A-Z][A-Za-z]{1,15}\/crl$/],
  ['amd', 'certificates', /^vcek\/v1\/[A-Z][A-Za-z]{1,15}\/[0-9a-f]{16,128}\?[A-Za-z0-9=&]{1,120}$/],
  ['intel', 'tdx-tcb-info', /^tdx\/certification\/v4\/tcb\?fmspc=[0-9a-f]{12}$/],
  ['intel', 'tdx-qe-identity', /^tdx\/certification\/v4\/qe\/identity$/],
  ['intel', 'crl', /^sgx\/certification\/v4\/pckcrl\?ca=(?:platform|processor)&encoding=der$/],
  ['intel', 'crl', /^sgx\/certification\/v4\/rootcacrl$/],
  ['nvidia', 'nvidia-rim', /^v1\/rim\/[A-Za-z0-9_.-]{1,128}$/],
  ['nvidia', 'ocsp', /^ocsp\/[0-9a-f]{40,128}\/[0-9a-f]{40,128}\/[0-9a-f]{2,64}$/],
];

/** The query that a vendor's path answers; undefined when no verifier asks for such a path. */
export function queryOf(vendor: string, path: string): EndorsementQuery | undefined {
  const shape = shapes.find(([name, , form]) => name === vendor && form.test(path));
  if (shape === undefined || !safePath.test(path)) return undefined;
  return { vendor: shape[0], kind: shape[1], path };
}

/** The file of an answer below a directory; undefined for a path that is not one of a vendor. */
export function fileOf(directory: string, { vendor, path }: EndorsementQuery): string | undefined {
  return safePath.test(path) ? join(directory, vendor, path) : undefined;
}
