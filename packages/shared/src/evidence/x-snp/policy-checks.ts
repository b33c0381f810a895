import { reason, type Reason, type ReasonCode } from '../../reasons.js';
import type { TrustClaim } from '../trustworthiness.js';
import type { SnpPolicy, SnpPolicyField } from './policy.js';
import { componentBelow, type Product, type Tcb } from './product.js';
import type { FirmwareVersion, SnpReport } from './report.js';

/** The four TCB versions of a report, decoded. */
export interface ReportTcbs {
  readonly current: Tcb;
  readonly reported: Tcb;
  readonly committed: Tcb;
  readonly launch: Tcb;
}

/** What the policy is applied to: a report whose signature holds. */
export interface PolicySubject {
  readonly report: SnpReport;
  readonly product: Product;
  readonly tcbs: ReportTcbs;
}

/** A field of the policy that the report fails. */
export interface PolicyFailure {
  readonly claim: TrustClaim;
  readonly reason: Reason;
  /** Whether the policy takes the failure as a warning. */
  readonly isSoft: boolean;
}

interface PolicyCheck {
  readonly field: SnpPolicyField;
  readonly claim: TrustClaim;
  readonly code: ReasonCode;
  /** Whether the report fails the field; a string states the particulars. */
  readonly fails: (subject: PolicySubject, policy: SnpPolicy) => boolean | string;
}

/** One row per field, in the order in which reasons are given. */
const checks: readonly PolicyCheck[] = [
  {
    field: 'products',
    claim: 'hardware',
    code: 'SNP_PRODUCT_NOT_ALLOWED',
    fails: ({ product }, policy) =>
      !policy.products.includes(product) && `The policy does not allow ${product} processors.`,
  },
  {
    field: 'deny_products',
    claim: 'hardware',
    code: 'SNP_PRODUCT_DENIED',
    fails: ({ product }, policy) =>
      policy.deny_products.includes(product) && `The policy denies ${product} processors.`,
  },
  {
    field: 'chips',
    claim: 'instance-identity',
    code: 'SNP_CHIP_NOT_ALLOWED',
    fails: ({ report }, { chips }) =>
      chips.allow !== undefined &&
      !(report.signingKey === 'VCEK' && chips.allow.includes(hexOf(report.chipId))),
  },
  {
    field: 'chips',
    claim: 'instance-identity',
    code: 'SNP_CHIP_DENIED',
    fails: ({ report }, { chips }) => chips.deny.includes(hexOf(report.chipId)),
  },
  {
    field: 'signing_keys',
    claim: 'instance-identity',
    code: 'SNP_SIGNING_KEY_NOT_ALLOWED',
    fails: ({ report }, policy) =>
      !policy.signing_keys.includes(report.signingKey) &&
      `The report is signed by a ${report.signingKey}, which the policy does not allow.`,
  },
  {
    field: 'vmpl',
    claim: 'configuration',
    code: 'SNP_VMPL',
    fails: ({ report }, policy) =>
      !policy.vmpl.includes(report.vmpl) &&
      `The report is for VMPL ${report.vmpl}; the policy allows ${policy.vmpl.join(', ')}.`,
  },
  {
    field: 'debug',
    claim: 'runtime-opaque',
    code: 'SNP_DEBUG',
    fails: ({ report }, policy) => report.policy.debugAllowed && !policy.debug,
  },
  {
    field: 'migration_agent',
    claim: 'configuration',
    code: 'SNP_MIGRATION_AGENT',
    fails: ({ report }, policy) => report.policy.migrationAgentAllowed && !policy.migration_agent,
  },
  {
    field: 'measurements',
    claim: 'executables',
    code: 'SNP_MEASUREMENT_UNKNOWN',
    fails: ({ report }, policy) =>
      isForeign(report.measurement, policy.measurements) &&
      `The launch measurement ${hexOf(report.measurement)} is not a reference value of the policy.`,
  },
  {
    field: 'host_data',
    claim: 'configuration',
    code: 'SNP_HOST_DATA',
    fails: ({ report }, policy) => isForeign(report.hostData, policy.host_data),
  },
  {
    field: 'id_key_digests',
    claim: 'executables',
    code: 'SNP_ID_KEY',
    fails: ({ report }, policy) => isForeign(report.idKeyDigest, policy.id_key_digests),
  },
  {
    field: 'author_key_digests',
    claim: 'executables',
    code: 'SNP_AUTHOR_KEY',
    fails: ({ report }, { author_key_digests: digests }) =>
      digests !== undefined && (!report.authorKeyEnabled || isForeign(report.authorKeyDigest, digests)),
  },
  {
    field: 'minimum_guest_svn',
    claim: 'executables',
    code: 'SNP_GUEST_SVN',
    fails: ({ report }, policy) =>
      report.guestSvn < policy.minimum_guest_svn &&
      `The guest's security version is ${report.guestSvn}; the policy demands ${policy.minimum_guest_svn}.`,
  },
  {
    field: 'minimum_tcb',
    claim: 'hardware',
    code: 'SNP_TCB_BELOW_MINIMUM',
    fails: ({ product, tcbs }, policy) => below('reported', tcbs.reported, policy.minimum_tcb[product]),
  },
  {
    field: 'minimum_launch_tcb',
    claim: 'hardware',
    code: 'SNP_LAUNCH_TCB_BELOW_MINIMUM',
    fails: ({ product, tcbs }, policy) => below('launch', tcbs.launch, policy.minimum_launch_tcb[product]),
  },
  {
    field: 'minimum_firmware',
    claim: 'hardware',
    code: 'SNP_FIRMWARE_BELOW_MINIMUM',
    fails: ({ report }, { minimum_firmware: minimum }) =>
      minimum !== undefined &&
      compareVersions(report.committedVersion, parseVersion(minimum)) < 0 &&
      `The committed firmware is ${formatVersion(report.committedVersion)}; the policy demands ${minimum}.`,
  },
  {
    field: 'smt',
    claim: 'configuration',
    code: 'SNP_SMT',
    fails: ({ report }, policy) => !policy.smt && report.platform.smtEnabled,
  },
  {
    field: 'require_alias_check',
    claim: 'hardware',
    code: 'SNP_ALIAS_CHECK',
    fails: ({ report }, policy) => policy.require_alias_check && !report.platform.aliasCheckComplete,
  },
  {
    field: 'require_ecc',
    claim: 'hardware',
    code: 'SNP_ECC',
    fails: ({ report }, policy) => policy.require_ecc && !report.platform.eccEnabled,
  },
  {
    field: 'require_tsme',
    claim: 'configuration',
    code: 'SNP_TSME',
    fails: ({ report }, policy) => policy.require_tsme && !report.platform.tsmeEnabled,
  },
  {
    field: 'require_rapl_disabled',
    claim: 'configuration',
    code: 'SNP_RAPL',
    fails: ({ report }, policy) => policy.require_rapl_disabled && !report.platform.raplDisabled,
  },
  {
    field: 'require_ciphertext_hiding',
    claim: 'runtime-opaque',
    code: 'SNP_CIPHERTEXT_HIDING',
    fails: ({ report }, policy) =>
      policy.require_ciphertext_hiding && !report.platform.ciphertextHidingEnabled,
  },
  {
    field: 'require_single_socket',
    claim: 'configuration',
    code: 'SNP_SINGLE_SOCKET',
    fails: ({ report }, policy) => policy.require_single_socket && !report.policy.singleSocketRequired,
  },
];

/** Every field of the policy that the report fails, not only the first. */
export function policyFailures(subject: PolicySubject, policy: SnpPolicy): readonly PolicyFailure[] {
  return checks.flatMap(({ field, claim, code, fails }) => {
    const failure = fails(subject, policy);
    if (failure === false) return [];
    return [
      {
        claim,
        reason: reason(code, {
          path: `namespaces.x-snp.${field}`,
          ...(failure === true ? {} : { message: failure }),
        }),
        isSoft: policy.warn_on.some((soft) => soft === field),
      },
    ];
  });
}

/** What the versions of a platform must always satisfy; undefined when they do. */
export function inconsistency({ report, tcbs }: PolicySubject): Reason | undefined {
  const { current, ...others } = tcbs;
  for (const [name, tcb] of Object.entries(others)) {
    const component = componentBelow(current, tcb);
    if (component !== undefined) {
      return reason('SNP_TCB_INCONSISTENT', {
        message: `The current TCB is below the ${name} TCB in its component ${component}.`,
      });
    }
  }
  if (compareVersions(report.currentVersion, report.committedVersion) >= 0) return undefined;
  return reason('SNP_TCB_INCONSISTENT', {
    message: 'The current firmware is older than the committed one.',
  });
}

/** A firmware version as `major.minor.build`. */
export function formatVersion({ major, minor, build }: FirmwareVersion): string {
  return `${major}.${minor}.${build}`;
}

function parseVersion(text: string): FirmwareVersion {
  const [major = 0, minor = 0, build = 0] = text.split('.').map(Number);
  return { major, minor, build };
}

function compareVersions(left: FirmwareVersion, right: FirmwareVersion): number {
  return left.major - right.major || left.minor - right.minor || left.build - right.build;
}

function below(name: string, tcb: Tcb, minimum: Partial<Tcb> | undefined): false | string {
  const component = minimum === undefined ? undefined : componentBelow(tcb, minimum);
  if (component === undefined) return false;
  return `The ${name} TCB has ${component} ${tcb[component]}; the policy demands ${minimum?.[component]}.`;
}

function isForeign(value: Uint8Array, allowed: readonly string[] | undefined): boolean {
  return allowed !== undefined && !allowed.includes(hexOf(value));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
