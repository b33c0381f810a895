import type * as z from 'zod';
import { reason, type Reason } from '../../reasons.js';
import type { Appraisal, AppraisalInput, EvidenceVerifier, Json, ServiceKeys } from '../appraisal.js';
import { checkClaims } from './claims.js';
import type { CommonPolicy } from './policy.js';
import { checkSignature, checkTimes, peek, type ServiceClaims } from './token.js';

/** More than any service's answer, bytes. */
const maxEvidenceBytes = 256 * 1024;

/** What a service answered, taken apart. */
export interface Bundle {
  /** The token about the whole machine. */
  readonly main: string;
  /** Tokens about single devices, by the names that the answer gives them. */
  readonly devices?: ReadonlyMap<string, string>;
}

/** The claims of a bundle whose every signature holds. */
export interface OpenBundle {
  readonly main: ServiceClaims;
  readonly devices: ReadonlyMap<string, ServiceClaims>;
  readonly bundle: Bundle;
}

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
  /** What is wrong with the machine, under the policy. */
  judge(open: OpenBundle, policy: Policy): readonly Reason[];
  /** What deserves a warning. */
  warn?(open: OpenBundle, policy: Policy): readonly Reason[];
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
 * failure up to the signatures ends the appraisal; from there on every reason is collected.
 */
async function appraise<Policy extends CommonPolicy>(
  service: TokenService<Policy>,
  input: AppraisalInput<Policy>,
): Promise<Appraisal> {
  const { at, policy, reportData, evidence } = input;
  const result = (status: Appraisal['status'], reasons: readonly Reason[], open?: OpenBundle): Appraisal => ({
    namespace: service.namespace,
    status,
    reasons,
    claims: open === undefined ? {} : claimsOf(open),
    unchecked: reportData === undefined && open !== undefined ? ['report_data'] : [],
    trustworthiness: vector(status, policy),
    simulated: false,
  });
  if (Number.isNaN(at.getTime())) return result('contraindicated', [reason('SERVICE_CLOCK_INVALID')]);
  const open = openUnverified(service, evidence.evidence);
  if (open === undefined) return result('contraindicated', [reason('SERVICE_TOKEN_UNREADABLE')]);

  const proof = await prove(service, open, input);
  if (proof.length > 0) {
    const isIncomplete = proof.every(({ code }) => code === 'SERVICE_KEY_MISSING');
    return result(isIncomplete ? 'none' : 'contraindicated', proof, open);
  }
  const refusals = [
    ...[service.checkBinding(open.main, reportData)].flatMap((found) => found ?? []),
    ...service.judge(open, policy),
    ...claimTargets(open).flatMap((claims) => checkClaims(claims, policy.claims)),
  ];
  const warnings = service.warn?.(open, policy) ?? [];
  const status = refusals.length > 0 ? 'contraindicated' : warnings.length > 0 ? 'warning' : 'affirming';
  return result(status, [...refusals, ...warnings], open);
}

function openUnverified(
  service: Pick<TokenService<never>, 'read'>,
  evidence: Uint8Array,
): OpenBundle | undefined {
  if (evidence.length > maxEvidenceBytes) return undefined;
  const bundle = service.read(Buffer.from(evidence).toString('utf8').trim());
  const main = bundle === undefined ? undefined : peek(bundle.main);
  if (bundle === undefined || main === undefined) return undefined;
  const devices = new Map<string, ServiceClaims>();
  for (const [name, token] of bundle.devices ?? []) {
    const claims = peek(token);
    if (claims === undefined) return undefined;
    devices.set(name, claims);
  }
  return { main, devices, bundle };
}

/** Why the tokens are not proven to be the service's, now; empty when they are. */
async function prove<Policy extends CommonPolicy>(
  service: TokenService<Policy>,
  open: OpenBundle,
  { policy, at, serviceKeys = [] }: AppraisalInput<Policy>,
): Promise<readonly Reason[]> {
  const issuerOf = (claims: ServiceClaims): string | undefined => service.issuer?.(claims) ?? claims.iss;
  const issuer = issuerOf(open.main);
  const claims = [open.main, ...open.devices.values()];
  const trusted = policy.issuers.find((candidate) => candidate.issuer === issuer);
  if (trusted === undefined || claims.some((token) => issuerOf(token) !== issuer)) {
    return [reason('SERVICE_ISSUER_UNTRUSTED')];
  }
  const late = claims.flatMap((token) => checkTimes(token, at, policy.maximum_age) ?? []).slice(0, 1);
  const isFetched = (candidate: ServiceKeys): boolean => candidate.issuer === issuer;
  const sets = [trusted.jwks, serviceKeys.find(isFetched)?.keys].filter((set) => set !== undefined);
  const keys = { keys: sets.flatMap((set) => set.keys) };
  if (keys.keys.length === 0) return [...late, reason('SERVICE_KEY_MISSING')];
  const tokens = [open.bundle.main, ...(open.bundle.devices ?? new Map<string, string>()).values()];
  const failures = await Promise.all(tokens.map((token) => checkSignature(token, keys, service.algorithms)));
  return [...late, ...failures.flatMap((failure) => failure ?? []).slice(0, 1)];
}

/** Policies about claims are about the devices where a token has them, else about the machine. */
function claimTargets({ main, devices }: OpenBundle): readonly ServiceClaims[] {
  return devices.size === 0 ? [main] : [...devices.values()];
}

function claimsOf({ main, devices }: OpenBundle): { readonly [key: string]: Json } {
  const json = (claims: ServiceClaims): Json => claims as unknown as Json;
  if (devices.size === 0) return { token: json(main) };
  return {
    token: json(main),
    devices: Object.fromEntries([...devices].map(([name, claims]) => [name, json(claims)])),
  };
}

/** A service vouches for hardware and state; for the software only where the policy asks for claims about it. */
function vector(status: Appraisal['status'], { claims }: CommonPolicy): Appraisal['trustworthiness'] {
  if (status === 'none') return {};
  const value = { affirming: 2, warning: 32, contraindicated: 96 }[status];
  const executables = value === 2 && Object.keys(claims).length === 0 ? 0 : value;
  return { 'instance-identity': value, configuration: value, executables, hardware: value };
}

/** An answer that is one compact JWT, alone or as `{"token": ...}`. */
export function readSingle(text: string): Bundle | undefined {
  if (!text.startsWith('{')) return { main: text };
  try {
    const { token } = JSON.parse(text) as { token?: unknown };
    return typeof token === 'string' ? { main: token } : undefined;
  } catch {
    return undefined;
  }
}
