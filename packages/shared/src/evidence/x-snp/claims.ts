import type { Json } from '../appraisal.js';
import { cspOf } from './chip-certificate.js';
import type { SnpChain } from './chain.js';
import { formatVersion } from './policy-checks.js';
import { decodeTcb, productOfCpuid, type Product, type Tcb } from './product.js';
import type { SnpReport } from './report.js';

type Claims = { readonly [key: string]: Json };

/** What a report says, for people and programs; byte strings in lower-case hex. */
export function reportClaims(report: SnpReport, chain?: SnpChain): Claims {
  const { cpuid, mitigations, policy, platform } = report;
  const product = chain?.product ?? (cpuid === undefined ? undefined : productOfCpuid(cpuid));
  const csp = chain === undefined ? undefined : cspOf(chain.chip);
  return {
    version: report.version,
    ...(product === undefined ? {} : { product }),
    ...(cpuid === undefined ? {} : { cpuid: { ...cpuid } }),
    signing_key: report.signingKey,
    chip_id: hexOf(report.chipId),
    ...(csp === undefined ? {} : { csp }),
    measurement: hexOf(report.measurement),
    report_data: hexOf(report.reportData),
    host_data: hexOf(report.hostData),
    vmpl: report.vmpl,
    guest_svn: report.guestSvn,
    guest_policy: {
      abi: `${policy.abiMajor}.${policy.abiMinor}`,
      debug: policy.debugAllowed,
      migration_agent: policy.migrationAgentAllowed,
      smt: policy.smtAllowed,
      single_socket: policy.singleSocketRequired,
      cxl: policy.cxlAllowed,
      xts: policy.xtsRequired,
      rapl_disabled: policy.raplDisabledRequired,
      ciphertext_hiding: policy.ciphertextHidingRequired,
      page_swap_disabled: policy.pageSwapDisabled,
    },
    platform_info: {
      smt: platform.smtEnabled,
      tsme: platform.tsmeEnabled,
      ecc: platform.eccEnabled,
      rapl_disabled: platform.raplDisabled,
      ciphertext_hiding: platform.ciphertextHidingEnabled,
      alias_check: platform.aliasCheckComplete,
      tio: platform.tioEnabled,
    },
    family_id: hexOf(report.familyId),
    image_id: hexOf(report.imageId),
    id_key_digest: hexOf(report.idKeyDigest),
    author_key_digest: hexOf(report.authorKeyDigest),
    author_key: report.authorKeyEnabled,
    report_id: hexOf(report.reportId),
    report_id_ma: hexOf(report.reportIdMa),
    tcb: {
      reported: tcbClaim(report.reportedTcb, product),
      current: tcbClaim(report.currentTcb, product),
      committed: tcbClaim(report.committedTcb, product),
      launch: tcbClaim(report.launchTcb, product),
    },
    firmware: {
      current: formatVersion(report.currentVersion),
      committed: formatVersion(report.committedVersion),
    },
    ...(mitigations === undefined
      ? {}
      : {
          mitigations: { launch: hexOfVector(mitigations.launch), current: hexOfVector(mitigations.current) },
        }),
  };
}

/** A TCB by component, or in hex while its layout is not known. */
function tcbClaim(bytes: Uint8Array, product: Product | undefined): Json {
  const tcb: Tcb | undefined = product === undefined ? undefined : decodeTcb(product, bytes);
  return tcb === undefined ? hexOf(bytes) : { ...tcb };
}

function hexOfVector(vector: bigint): string {
  return `0x${vector.toString(16)}`;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
