import type { Appraisal, AppraisalInput } from '@muster/shared/evidence/appraisal.js';
import type { SnpPolicy } from '@muster/shared/evidence/x-snp/policy.js';
import { snpVerifier } from '@muster/shared/evidence/x-snp/verifier.js';
import {
  chipCertificate,
  defaultHwid,
  revocationList,
  snpHierarchy,
  type ChipCertificateOptions,
  type KeyHolder,
  type SnpHierarchy,
  type SnpProduct,
} from './snp-builder.js';
import { signSnpReport, snpReport, type SnpReportFields } from './snp-report.js';

/** The time at which everything that the builders make is valid. */
export const at = new Date('2026-01-01T00:00:00Z');

/** What differs from a report that is affirmed. */
export interface SnpCaseOptions {
  readonly product?: SnpProduct;
  readonly hierarchy?: SnpHierarchy;
  readonly fields?: SnpReportFields;
  readonly chip?: ChipCertificateOptions;
  /** Changes the report before it is signed, so that only the check in question can refuse it. */
  readonly alter?: (report: Uint8Array) => void;
  /** Replaces the chip's certificate, ASK, ASVK and ARK. */
  readonly certificates?: (chip: KeyHolder, hierarchy: SnpHierarchy) => readonly Uint8Array[];
  readonly crls?: readonly Uint8Array[];
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly input?: Partial<AppraisalInput<SnpPolicy>>;
}

/** Everything that an appraisal of a simulated chip's report needs; affirmed unless the options spoil it. */
export function snpCase(options: SnpCaseOptions = {}): AppraisalInput<SnpPolicy> {
  const { product = 'Milan', fields = {}, chip = {} } = options;
  const hierarchy = options.hierarchy ?? snpHierarchy({ product });
  const isVlek = chip.kind === 'VLEK';
  const holder = chipCertificate(hierarchy, chip);
  const report = snpReport({
    product,
    chipId: isVlek ? new Uint8Array(64) : defaultHwid(product),
    signerFlags: isVlek ? 1 << 2 : 0,
    ...fields,
  });
  options.alter?.(report);
  const { ark, ask, asvk } = hierarchy;
  return {
    evidence: { namespace: 'x-snp', evidence: signSnpReport(report, holder.privateKey) },
    endorsements: {
      certificates:
        options.certificates?.(holder, hierarchy) ??
        [holder, ask, asvk, ark].map(({ certificate }) => certificate),
      crls: options.crls ?? [revocationList(hierarchy)],
    },
    policy: snpVerifier.policySchema.parse(options.policy ?? {}),
    at,
    simulatedRoots: [{ namespace: 'x-snp', fingerprint: hierarchy.rootFingerprint }],
    ...options.input,
  };
}

/** Appraises a case. */
export function appraiseSnp(options: SnpCaseOptions = {}): Promise<Appraisal> {
  return snpVerifier.appraise(snpCase(options));
}

/** The status and the reasons' codes, as in `contraindicated SNP_DEBUG SNP_VMPL`. */
export function verdict({ status, reasons }: Appraisal): string {
  return [status, ...reasons.map(({ code }) => code)].join(' ');
}
