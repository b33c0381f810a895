import { reason, type Reason, type ReasonCode } from '../../reasons.js';
import type { TrustClaim } from '../trustworthiness.js';
import type { PckPlatform } from './pck-extension.js';
import type { TdxPolicy, TdxPolicyField } from './policy.js';
import type { TcbStanding } from './tcb.js';
import type { TdReport } from './td-report.js';

/** What the policy is applied to: a quote whose signature holds. */
export interface PolicySubject {
  readonly report: TdReport;
  readonly platform: PckPlatform;
  /** Undefined while the TCB information is missing or refused: then nothing is said about it. */
  readonly tcb: TcbStanding | undefined;
}

/** A field of the policy that the quote fails. */
export interface PolicyFailure {
  readonly claim: TrustClaim;
  readonly reason: Reason;
  /** Whether the policy takes the failure as a warning. */
  readonly isSoft: boolean;
}

interface PolicyCheck {
  readonly field: TdxPolicyField;
  readonly claim: TrustClaim;
  readonly code: ReasonCode;
  /** Whether the quote fails the field; a string states the particulars. */
  readonly fails: (subject: PolicySubject, policy: TdxPolicy) => boolean | string;
}

/** One row per field, in the order in which reasons are given. */
const checks: readonly PolicyCheck[] = [
  {
    field: 'tcb_statuses',
    claim: 'hardware',
    code: 'TDX_TCB_STATUS',
    fails: ({ tcb }, { tcb_statuses: { affirming } }) =>
      tcb !== undefined &&
      !affirming.some((status) => status === tcb.status) &&
      `The TCB status of the platform is ${tcb.status}${advisoriesOf(tcb)}.`,
  },
  {
    field: 'advisories',
    claim: 'hardware',
    code: 'TDX_ADVISORY',
    fails: ({ tcb }, { advisories: allowed }) => {
      const others = tcb?.advisories.filter((id) => allowed?.includes(id) === false) ?? [];
      return (
        others.length > 0 && `The policy does not allow ${others.join(', ')}, which apply to the platform.`
      );
    },
  },
  {
    field: 'minimum_tcb_evaluation_number',
    claim: 'hardware',
    code: 'TDX_TCB_EVALUATION_NUMBER',
    fails: ({ tcb }, { minimum_tcb_evaluation_number: minimum }) =>
      tcb !== undefined &&
      tcb.evaluationNumber < minimum &&
      `The TCB information has the evaluation number ${tcb.evaluationNumber}; the policy demands ${minimum}.`,
  },
  {
    field: 'fmspcs',
    claim: 'hardware',
    code: 'TDX_FMSPC_NOT_ALLOWED',
    fails: ({ platform }, { fmspcs }) => isForeign(platform.fmspc, fmspcs.allow),
  },
  {
    field: 'fmspcs',
    claim: 'hardware',
    code: 'TDX_FMSPC_DENIED',
    fails: ({ platform }, { fmspcs }) => fmspcs.deny.includes(hexOf(platform.fmspc)),
  },
  {
    field: 'platforms',
    claim: 'instance-identity',
    code: 'TDX_PLATFORM_NOT_ALLOWED',
    fails: ({ platform }, { platforms: { allow } }) =>
      allow !== undefined && !idsOf(platform).some((id) => allow.includes(id)),
  },
  {
    field: 'platforms',
    claim: 'instance-identity',
    code: 'TDX_PLATFORM_DENIED',
    fails: ({ platform }, { platforms: { deny } }) => idsOf(platform).some((id) => deny.includes(id)),
  },
  {
    field: 'debug',
    claim: 'runtime-opaque',
    code: 'TDX_DEBUG',
    fails: ({ report }, policy) => report.tdAttributes.debug && !policy.debug,
  },
  {
    field: 'migratable',
    claim: 'configuration',
    code: 'TDX_MIGRATABLE',
    fails: ({ report }, policy) => report.tdAttributes.migratable && !policy.migratable,
  },
  {
    field: 'require_sept_ve_disable',
    claim: 'configuration',
    code: 'TDX_SEPT_VE_DISABLE',
    fails: ({ report }, policy) => policy.require_sept_ve_disable && !report.tdAttributes.septVeDisable,
  },
  listed('td_attributes', 'configuration', 'TDX_TD_ATTRIBUTES', ({ tdAttributes }) => tdAttributes.raw),
  listed('xfam', 'configuration', 'TDX_XFAM', ({ xfam }) => xfam),
  listed('mrtd', 'executables', 'TDX_MRTD', ({ mrTd }) => mrTd),
  listed('rtmr0', 'executables', 'TDX_RTMR', ({ rtmrs: [rtmr] }) => rtmr),
  listed('rtmr1', 'executables', 'TDX_RTMR', ({ rtmrs: [, rtmr] }) => rtmr),
  listed('rtmr2', 'executables', 'TDX_RTMR', ({ rtmrs: [, , rtmr] }) => rtmr),
  listed('rtmr3', 'executables', 'TDX_RTMR', ({ rtmrs: [, , , rtmr] }) => rtmr),
  listed('mrconfigid', 'configuration', 'TDX_MRCONFIGID', ({ mrConfigId }) => mrConfigId),
  listed('mrowner', 'configuration', 'TDX_MROWNER', ({ mrOwner }) => mrOwner),
  listed('mrownerconfig', 'configuration', 'TDX_MROWNERCONFIG', ({ mrOwnerConfig }) => mrOwnerConfig),
  listed('mrseam', 'hardware', 'TDX_MRSEAM', ({ mrSeam }) => mrSeam),
  listed('mrservicetd', 'configuration', 'TDX_MRSERVICETD', ({ mrServiceTd }) => mrServiceTd),
];

/** Every field of the policy that the quote fails, not only the first. */
export function policyFailures(subject: PolicySubject, policy: TdxPolicy): readonly PolicyFailure[] {
  return checks.flatMap(({ field, claim, code, fails }) => {
    const failure = fails(subject, policy);
    if (failure === false) return [];
    const detail = failure === true ? {} : { message: failure };
    return [
      {
        claim,
        reason: reason(code, { path: `namespaces.x-tdx.${field}`, ...detail }),
        isSoft: isSoft(field, subject, policy),
      },
    ];
  });
}

function isSoft(field: TdxPolicyField, { tcb }: PolicySubject, policy: TdxPolicy): boolean {
  return field === 'tcb_statuses'
    ? policy.tcb_statuses.warning.some((status) => status === tcb?.status)
    : policy.warn_on.some((soft) => soft === field);
}

type ListField = Extract<
  TdxPolicyField,
  | 'td_attributes'
  | 'xfam'
  | 'mrservicetd'
  | `rtmr${number}`
  | `mr${'td' | 'configid' | 'seam'}`
  | `mrowner${string}`
>;

/** A row for a field that lists the values which a part of the report may have. */
function listed(
  field: ListField,
  claim: TrustClaim,
  code: ReasonCode,
  part: (report: TdReport) => Uint8Array | undefined,
): PolicyCheck {
  return {
    field,
    claim,
    code,
    fails: ({ report }, policy) => {
      const value = part(report) ?? new Uint8Array();
      return (
        isForeign(value, policy[field]) &&
        `The ${field.toUpperCase()} ${hexOf(value)} is not a reference value of the policy.`
      );
    },
  };
}

function advisoriesOf({ advisories }: TcbStanding): string {
  return advisories.length === 0 ? '' : `, because of ${advisories.join(', ')}`;
}

function idsOf({ ppid, platformInstanceId }: PckPlatform): readonly string[] {
  return [ppid, ...(platformInstanceId === undefined ? [] : [platformInstanceId])].map(hexOf);
}

function isForeign(value: Uint8Array, allowed: readonly string[] | undefined): boolean {
  return allowed !== undefined && !allowed.includes(hexOf(value));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
