import { createHash } from 'node:crypto';
import * as z from 'zod';
import { reason, type Reason } from '../../reasons.js';
import { objectOf, shownText, textAnswers, type ClaimSet } from './claims.js';
import { commonPolicy } from './policy.js';
import { runtimeData } from './runtime-data.js';
import type { ServiceClaims } from './token.js';
import { tokenVerifier } from './verifier.js';
import { readSingle } from './bundle.js';

const service = 'https://portal.trustauthority.intel.com';
const tcbStatuses = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
] as const;

const policySchema = z.strictObject({
  ...commonPolicy(
    ['Intel Trust Authority', service].map((issuer) => ({ issuer, jwks_uri: `${service}/certs` })),
  ),
  /** The states of the platform's TCB that are allowed; a revoked one never is. */
  tcb_statuses: z.array(z.enum(tcbStatuses)).min(1).default(['UpToDate']),
  /** Policies of the service that must have matched, by their ids. */
  policies: z.array(z.string().min(1)).default([]),
});
type ItaPolicy = z.output<typeof policySchema>;

/** The verifier of Intel Trust Authority's tokens about TDX machines, versions 1 and 2. */
export const itaVerifier = tokenVerifier<ItaPolicy>({
  namespace: 'ita',
  policySchema,
  algorithms: ['PS384', 'RS256'],
  read: readSingle,
  checkBinding,
  judge: ({ main }, policy) => judge(main, policy),
});

/** The claims about the trust domain: nested in version 2, with a prefix in version 1. */
function claim(claims: ServiceClaims, name: string): unknown {
  const tdx = objectOf(claims['tdx']);
  return tdx === undefined ? claims[name] : (tdx[name] ?? tdx[name.replace(/^tdx_/, '')]);
}

function judge(claims: ServiceClaims, policy: ItaPolicy): readonly Reason[] {
  const type = claim(claims, 'attester_type') ?? claims['attester_type'];
  const status = claim(claims, 'attester_tcb_status');
  const matched = idsOf(claims, 'policy_ids_matched');
  const missing = policy.policies.filter((id) => !matched.includes(id));
  return [
    type === 'TDX' || (type === undefined && objectOf(claims['tdx']) !== undefined)
      ? []
      : reason('SERVICE_CLAIM', { message: 'The token is not about a TDX machine.', path: 'attester_type' }),
    policy.tcb_statuses.some((allowed) => allowed === status)
      ? []
      : reason('SERVICE_TCB_STATUS', { message: `The state of the TCB is ${shownText(status)}.` }),
    claim(claims, 'tdx_is_debuggable') === false ? [] : reason('SERVICE_DEBUG'),
    missing.map((id) =>
      reason('SERVICE_CLAIM', {
        message: `The service's policy ${id} did not match.`,
        path: 'policy_ids_matched',
      }),
    ),
  ].flat();
}

function idsOf(claims: ServiceClaims, name: string): readonly unknown[] {
  const list = claims[name] ?? claim(claims, name);
  return Array.isArray(list) ? list.map((entry: unknown) => objectOf(entry)?.['id'] ?? entry) : [];
}

/**
 * The report data of the machine's quote is SHA-512 over the service's nonce, its time and the data that the machine
 * held, which are the verifier's nonce. What the token shows of them must give what the hardware signed.
 */
function checkBinding(claims: ServiceClaims, reportData: Uint8Array | undefined): Reason | undefined {
  const signed = claim(claims, 'tdx_report_data');
  const held = heldData(claims);
  if (typeof signed !== 'string' || held === undefined) return reason('SERVICE_NONCE_MISSING');
  const digest = createHash('sha512')
    .update(
      Buffer.concat([
        ...nonceParts(objectOf(claim(claims, 'verifier_nonce') ?? claims['verifier_nonce'])),
        held,
      ]),
    )
    .digest('hex');
  if (digest !== signed.toLowerCase()) return reason('SERVICE_NONCE');
  if (reportData === undefined) return undefined;
  const isOwn = held.equals(runtimeData(reportData)) || textAnswers(held.toString('base64'), reportData);
  return isOwn ? undefined : reason('SERVICE_NONCE');
}

/** Held data comes as it was given, in base64; the service shows it as an object where it was JSON. */
function heldData(claims: ServiceClaims): Buffer | undefined {
  const held = claim(claims, 'attester_held_data') ?? claims['attester_held_data'];
  if (typeof held === 'string' && held !== '') return Buffer.from(held, 'base64');
  const shown = objectOf(claim(claims, 'attester_runtime_data') ?? claims['attester_runtime_data']);
  const nonce = shown?.['nonce'];
  if (typeof nonce !== 'string' || !/^[0-9a-f]+$/.test(nonce)) return undefined;
  return runtimeData(Buffer.from(nonce, 'hex'));
}

function nonceParts(nonce: ClaimSet | undefined): readonly Buffer[] {
  const parts = [nonce?.['val'], nonce?.['iat']];
  return parts.flatMap((part) => (typeof part === 'string' ? [Buffer.from(part, 'base64')] : []));
}
