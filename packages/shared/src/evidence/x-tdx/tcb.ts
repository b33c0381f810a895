import { reason, type Reason } from '../../reasons.js';
import type { EnclaveTcbLevel, QeIdentity, TcbInfo, TcbLevel, TcbStatus } from './collateral.js';
import type { PckPlatform } from './pck-extension.js';
import type { QeReport } from './quote.js';
import type { TdReport } from './td-report.js';

/** What Intel says of one part of a platform. */
export type Standing = Pick<TcbLevel, 'tcbStatus' | 'tcbDate' | 'advisoryIDs'>;

/** What Intel says of the parts and, merged, of the whole. */
export interface TcbStanding {
  readonly status: TcbStatus;
  readonly platform: Standing;
  /** Only TDX modules with an identity of their own have one. */
  readonly module?: Standing;
  readonly qe: Standing;
  /** The lower one of the TCB info and the QE identity. */
  readonly evaluationNumber: number;
  /** Advisories about any of the parts, each once. */
  readonly advisories: readonly string[];
}

/**
 * Places a platform, its TDX module and its quoting enclave on the levels that Intel publishes (Intel PCS API v4,
 * "Determining the TCB status of a platform"). Every reason why that cannot be done is given.
 */
export function assessTcb(
  { report, qeReport }: { readonly report: TdReport; readonly qeReport: QeReport },
  platform: PckPlatform,
  tcbInfo: TcbInfo,
  qeIdentity: QeIdentity,
): TcbStanding | readonly [Reason, ...Reason[]] {
  const level = tcbInfo.tcbLevels.find((candidate) => meets(candidate, platform, report.teeTcbSvn));
  const module = assessModule(report, tcbInfo);
  const qe = assessQe(qeReport, qeIdentity);
  const [first, ...rest] = [
    ...(level === undefined ? [unsupported('platform')] : []),
    ...('code' in module ? [module] : []),
    ...('code' in qe ? [qe] : []),
  ];
  if (first !== undefined) return [first, ...rest];
  if (level === undefined || 'code' in module || 'code' in qe) return [unsupported('platform')];
  const parts = [level, ...(module.standing === undefined ? [] : [module.standing]), qe];
  return {
    status: mergeStatuses(parts.map(({ tcbStatus }) => tcbStatus)),
    platform: level,
    ...(module.standing === undefined ? {} : { module: module.standing }),
    qe,
    evaluationNumber: Math.min(tcbInfo.tcbEvaluationDataNumber, qeIdentity.tcbEvaluationDataNumber),
    advisories: [...new Set(parts.flatMap(({ advisoryIDs }) => advisoryIDs))],
  };
}

/**
 * Whether every security version reaches a level. Modules with a major version have an identity with levels of their
 * own, which is why the first two TDX components, the module's versions, do not count for them.
 */
function meets({ tcb }: TcbLevel, platform: PckPlatform, teeTcbSvn: Uint8Array): boolean {
  const firstTdx = hasModuleIdentity(teeTcbSvn) ? 2 : 0;
  return (
    tcb.sgxtcbcomponents.every(({ svn }, index) => (platform.componentSvns[index] ?? -1) >= svn) &&
    platform.pceSvn >= tcb.pcesvn &&
    tcb.tdxtcbcomponents.every(({ svn }, index) => index < firstTdx || (teeTcbSvn[index] ?? -1) >= svn)
  );
}

function hasModuleIdentity(teeTcbSvn: Uint8Array): boolean {
  return (teeTcbSvn[1] ?? 0) > 0;
}

/** The TDX module: its signer and attributes, and its level where it has an identity of its own. */
function assessModule(report: TdReport, tcbInfo: TcbInfo): { readonly standing?: Standing } | Reason {
  const [svn = 0, major = 0] = report.teeTcbSvn;
  const id = `TDX_${major.toString(16).padStart(2, '0')}`;
  const identity = hasModuleIdentity(report.teeTcbSvn)
    ? tcbInfo.tdxModuleIdentities.find((candidate) => candidate.id.toLowerCase() === id.toLowerCase())
    : { ...tcbInfo.tdxModule, tcbLevels: undefined };
  if (identity === undefined) {
    return reason('TDX_MODULE_UNKNOWN', { message: `The TCB info has no identity ${id} of a TDX module.` });
  }
  if (hexOf(report.mrSignerSeam) !== identity.mrsigner) return reason('TDX_MODULE_SIGNER');
  if (!isMasked(report.seamAttributes, identity.attributes, identity.attributesMask)) {
    return reason('TDX_MODULE_ATTRIBUTES');
  }
  if (identity.tcbLevels === undefined) return {};
  const standing = levelOf(identity.tcbLevels, svn);
  return standing === undefined ? unsupported('TDX module') : { standing };
}

/** The quoting enclave: that it is Intel's, not debugged, and its level. */
function assessQe(qe: QeReport, identity: QeIdentity): Standing | Reason {
  const wrong = [
    ...(hexOf(qe.mrsigner) === identity.mrsigner ? [] : ['signer']),
    ...(qe.isvProdId === identity.isvprodid ? [] : ['product id']),
    ...(isMasked(qe.attributes, identity.attributes, identity.attributesMask) ? [] : ['attributes']),
    ...(isMasked(qe.miscselect, identity.miscselect, identity.miscselectMask) ? [] : ['miscselect']),
  ];
  if (wrong.length > 0) {
    return reason('TDX_QE_IDENTITY', {
      message: `The quoting enclave is not Intel's by its ${wrong.join(', ')}.`,
    });
  }
  return levelOf(identity.tcbLevels, qe.isvSvn) ?? unsupported('quoting enclave');
}

/** The first level that a security version reaches; levels go from the newest to the oldest. */
function levelOf(levels: readonly EnclaveTcbLevel[], svn: number): Standing | undefined {
  return levels.find(({ tcb }) => svn >= tcb.isvsvn);
}

/** Whether bytes equal the expected ones where the mask has ones. */
function isMasked(bytes: Uint8Array, expectedHex: string, maskHex: string): boolean {
  const [expected, mask] = [Buffer.from(expectedHex, 'hex'), Buffer.from(maskHex, 'hex')];
  return bytes.every((byte, index) => (byte & (mask[index] ?? 0)) === expected[index]);
}

/** Revoked outweighs all; otherwise whatever is needed by one part is needed by the whole. */
export function mergeStatuses(statuses: readonly TcbStatus[]): TcbStatus {
  const has = (part: string): boolean => statuses.some((status) => status.includes(part));
  if (has('Revoked')) return 'Revoked';
  if (has('OutOfDate')) return has('Configuration') ? 'OutOfDateConfigurationNeeded' : 'OutOfDate';
  if (has('Configuration')) {
    return has('SWHardening') ? 'ConfigurationAndSWHardeningNeeded' : 'ConfigurationNeeded';
  }
  return has('SWHardening') ? 'SWHardeningNeeded' : 'UpToDate';
}

function unsupported(part: string): Reason {
  return reason('TDX_TCB_UNSUPPORTED', {
    message: `The security versions of the ${part} are below every level that Intel publishes.`,
  });
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
