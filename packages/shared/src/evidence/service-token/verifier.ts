import type * as z from 'zod';
import { reason, type Reason } from '../../reasons.js';
import type { Appraisal, AppraisalInput, DeviceAppraisal, EvidenceVerifier, Json } from '../appraisal.js';
import { openUnverified, type Bundle, type OpenBundle } from './bundle.js';
import { checkClaims } from './claims.js';
import { deviceAppraisal, locate } from './devices.js';
import type { CommonPolicy } from './policy.js';
import { prove } from './proof.js';
import { tierOf, vector, type Findings } from './tier.js';
import type { ServiceClaims } from './token.js';

/** How the tokens of one attestation service are read and judged. */
export interface TokenService<Policy extends CommonPolicy> {
  readonly namespace: string;
  readonly policySchema: z.ZodType<Policy>;
  /** The algorithms that the service signs with (RFC 7518, section 3.1). */
  readonly algorithms: readonly string[];
  /** Takes the service's answer apart; undefined when it is of another shape. */
  read(text: string): Bundle | undefined;
  /** Whom a token is from; most services say `iss`. */
  issuer?(claims: ServiceClaims): string | undefined;
  /** Whether the token is bound to report data. */
  checkBinding(claims: ServiceClaims, reportData: Uint8Array | undefined): Reason | undefined;
  /** What is wrong with the machine as a whole, under the policy. */
  judge(open: OpenBundle, policy: Policy): readonly Reason[];
  /** What deserves a warning. */
  warn?(open: OpenBundle, policy: Policy): readonly Reason[];
  /** What is found about one device of a bundle, by its name, beside what the policy says of claims. */
  judgeDevice?(name: string, claims: ServiceClaims, open: OpenBundle): Findings;
}

/** Makes the verifier of an attestation service's tokens. docs/attestation-services.md says what they prove. */
export function tokenVerifier<Policy extends CommonPolicy>(
  service: TokenService<Policy>,
): EvidenceVerifier<Policy, Promise<Appraisal>> {
  return {
    namespace: service.namespace,
    policySchema: service.policySchema,
    endorsementQueries: () => [],
    appraise: (input) => appraise(service, input),
  };
}

/**
 * Appraises an answer in this order: its form, its issuer, its times, its signatures, its binding, the claims. A
 * failure up to the signatures ends the appraisal; from there on every reason is collected, and each device that has a
 * token has a result.
 */
async function appraise<Policy extends CommonPolicy>(
  service: TokenService<Policy>,
  input: AppraisalInput<Policy>,
): Promise<Appraisal> {
  const { at, policy, reportData, evidence } = input;
  const result = (
    status: Appraisal['status'],
    reasons: readonly Reason[],
    open?: OpenBundle,
    devices: readonly DeviceAppraisal[] = [],
  ): Appraisal => ({
    namespace: service.namespace,
    status,
    reasons,
    claims: open === undefined ? {} : claimsOf(open),
    unchecked: reportData === undefined && open !== undefined ? ['report_data'] : [],
    trustworthiness: vector(status, policy),
    simulated: false,
    ...(devices.length > 0 && { devices }),
  });
  if (Number.isNaN(at.getTime())) return result('contraindicated', [reason('SERVICE_CLOCK_INVALID')]);
  const open = openUnverified(evidence.evidence, (text) => service.read(text));
  if (open === undefined) return result('contraindicated', [reason('SERVICE_TOKEN_UNREADABLE')]);

  const proof = await prove(service, open, input);
  if (proof.length > 0) {
    const isIncomplete = proof.every(({ code }) => code === 'SERVICE_KEY_MISSING');
    return result(isIncomplete ? 'none' : 'contraindicated', proof, open);
  }
  const devices = judgeDevices(service, open, policy);
  const machine = {
    refusals: [
      ...[service.checkBinding(open.main, reportData)].flatMap((found) => found ?? []),
      ...service.judge(open, policy),
      ...devices.refusals,
      // Policies about claims are about the devices where an answer has any.
      ...(open.devices.size === 0 ? checkClaims(open.main, policy.claims) : []),
    ],
    warnings: [...(service.warn?.(open, policy) ?? []), ...devices.warnings],
  };
  return result(tierOf(machine), [...machine.refusals, ...machine.warnings], open, devices.appraisals);
}

/** Judges every device; the findings are all of them together, each with its device as path. */
function judgeDevices<Policy extends CommonPolicy>(
  service: TokenService<Policy>,
  open: OpenBundle,
  policy: Policy,
): Findings & { readonly appraisals: readonly DeviceAppraisal[] } {
  const judged = [...open.devices].map(([name, claims]) => {
    const { refusals = [], warnings = [] } = service.judgeDevice?.(name, claims, open) ?? {};
    return { name, claims, refusals: [...refusals, ...checkClaims(claims, policy.claims)], warnings };
  });
  const all = (part: 'refusals' | 'warnings'): readonly Reason[] =>
    judged.flatMap((device) => device[part].map((entry) => locate(device.name, entry)));
  return {
    refusals: all('refusals'),
    warnings: all('warnings'),
    appraisals: judged.map(({ name, claims, ...found }) => deviceAppraisal(name, claims, found, policy)),
  };
}

function claimsOf({ main, devices }: OpenBundle): { readonly [key: string]: Json } {
  const json = (claims: ServiceClaims): Json => claims as unknown as Json;
  if (devices.size === 0) return { token: json(main) };
  return {
    token: json(main),
    devices: Object.fromEntries([...devices].map(([name, claims]) => [name, json(claims)])),
  };
}
