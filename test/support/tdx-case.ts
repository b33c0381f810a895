import { sign, type KeyObject } from 'node:crypto';
import type { Appraisal, AppraisalInput } from '@muster/shared/evidence/appraisal.js';
import { joinDocument } from '@muster/shared/evidence/x-tdx/collateral.js';
import type { TdxPolicy } from '@muster/shared/evidence/x-tdx/policy.js';
import { tdxVerifier } from '@muster/shared/evidence/x-tdx/verifier.js';
import type { KeyHolder } from './snp-builder.js';
import {
  defaultPlatform,
  intelCrl,
  intelHierarchy,
  pckCertificate,
  pemOf,
  type IntelCertificateOptions,
  type IntelHierarchy,
  type PckPlatformOptions,
} from './tdx-builder.js';
import { qeMrsigner, tdxQuote, type TdxQuoteOptions } from './tdx-quote.js';

/** The time at which everything that the builders make is valid. */
export const at = new Date('2026-01-01T00:00:00Z');

/** A level as Intel's documents write it. */
export interface LevelJson {
  tcb: Record<string, unknown>;
  tcbDate: string;
  tcbStatus: string;
  advisoryIDs?: string[];
}

/** TCB info as Intel writes it; tests change it before it is signed. */
export interface TcbInfoJson {
  [key: string]: unknown;
  tdxModule: Record<string, unknown>;
  tdxModuleIdentities: { [key: string]: unknown; tcbLevels: LevelJson[] }[];
  tcbLevels: LevelJson[];
}

/** A QE identity as Intel writes it. */
export interface QeIdentityJson {
  [key: string]: unknown;
  tcbLevels: LevelJson[];
}

/** What differs from a quote that is affirmed. */
export interface TdxCaseOptions {
  readonly hierarchy?: IntelHierarchy;
  readonly platform?: PckPlatformOptions;
  readonly pck?: IntelCertificateOptions;
  readonly quote?: Partial<TdxQuoteOptions>;
  /** Changes the finished quote. */
  readonly spoil?: (quote: Uint8Array) => Uint8Array;
  readonly tcbInfo?: (json: TcbInfoJson) => void;
  readonly qeIdentity?: (json: QeIdentityJson) => void;
  /** Signs the documents instead of the hierarchy's TCB signing key. */
  readonly documentKey?: KeyObject;
  /** Writes the documents anew after they are signed. */
  readonly rewrite?: (document: string) => string;
  readonly withoutDocuments?: boolean;
  /** Replaces the chain of the TCB signing certificate. */
  readonly certificates?: (hierarchy: IntelHierarchy) => readonly Uint8Array[];
  readonly crls?: (hierarchy: IntelHierarchy) => readonly Uint8Array[];
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly input?: Partial<AppraisalInput<TdxPolicy>>;
}

const standing = { tcbDate: '2025-03-13T00:00:00Z', tcbStatus: 'UpToDate' };
const dates = { issueDate: '2025-12-01T00:00:00Z', nextUpdate: '2026-02-01T00:00:00Z' };
const zeros = (bytes: number): string => '00'.repeat(bytes);
const components = (svns: readonly number[]): { svn: number }[] => svns.map((svn) => ({ svn }));

/** TCB info on which the default platform is up to date. */
export function tcbInfoJson(): TcbInfoJson {
  const tdx = [5, 0, 2, ...Array.from({ length: 13 }, () => 0)];
  const level = (pcesvn: number): LevelJson => ({
    tcb: {
      sgxtcbcomponents: components(defaultPlatform.componentSvns),
      pcesvn,
      tdxtcbcomponents: components(tdx),
    },
    ...standing,
  });
  const module = { mrsigner: zeros(48), attributes: zeros(8), attributesMask: 'FF'.repeat(8) };
  return {
    id: 'TDX',
    version: 3,
    ...dates,
    fmspc: 'B0C06F000000',
    pceId: '0000',
    tcbType: 0,
    tcbEvaluationDataNumber: 17,
    tdxModule: module,
    tdxModuleIdentities: [
      {
        id: 'TDX_01',
        ...module,
        tcbLevels: [
          { tcb: { isvsvn: 4 }, ...standing },
          { tcb: { isvsvn: 2 }, ...standing, tcbStatus: 'OutOfDate' },
        ],
      },
    ],
    tcbLevels: [
      level(11),
      { ...level(5), tcbStatus: 'OutOfDate', advisoryIDs: ['INTEL-SA-00837', 'INTEL-SA-00960'] },
    ],
  };
}

/** The identity of the simulated quoting enclave. */
export function qeIdentityJson(): QeIdentityJson {
  return {
    id: 'TD_QE',
    version: 2,
    ...dates,
    tcbEvaluationDataNumber: 17,
    miscselect: '00000000',
    miscselectMask: 'FFFFFFFF',
    attributes: `11${zeros(15)}`,
    attributesMask: `FB${'FF'.repeat(7)}${zeros(8)}`,
    mrsigner: Buffer.from(qeMrsigner).toString('hex').toUpperCase(),
    isvprodid: 2,
    tcbLevels: [
      { tcb: { isvsvn: 4 }, ...standing },
      { tcb: { isvsvn: 2 }, ...standing, tcbStatus: 'OutOfDate', advisoryIDs: ['INTEL-SA-00700'] },
    ],
  };
}

const shared = intelHierarchy();

/** Everything that an appraisal of a simulated platform's quote needs; affirmed unless the options spoil it. */
export function tdxCase(options: TdxCaseOptions = {}): AppraisalInput<TdxPolicy> {
  const { hierarchy = shared, spoil = (quote) => quote, rewrite = (document) => document } = options;
  const pck = pckCertificate(hierarchy, options.platform, options.pck);
  const { root, pckCa, tcbSigning } = hierarchy;
  const chain = pemOf(...[pck, pckCa, root].map(({ certificate }) => certificate));
  const quote = tdxQuote({ pckKey: pck.privateKey, pckChain: chain, ...options.quote });
  const [tcbInfo, qeIdentity] = [tcbInfoJson(), qeIdentityJson()];
  options.tcbInfo?.(tcbInfo);
  options.qeIdentity?.(qeIdentity);
  const key = options.documentKey ?? tcbSigning.privateKey;
  const document = (member: 'tcbInfo' | 'enclaveIdentity', json: unknown): Uint8Array =>
    Uint8Array.from(Buffer.from(rewrite(Buffer.from(signDocument(member, json, key)).toString())));
  return {
    evidence: { namespace: 'x-tdx', evidence: spoil(quote) },
    endorsements: {
      certificates: options.certificates?.(hierarchy) ?? [tcbSigning.certificate, root.certificate],
      crls: options.crls?.(hierarchy) ?? [intelCrl(root), intelCrl(pckCa)],
      documents:
        options.withoutDocuments === true
          ? []
          : [
              { kind: 'tdx-tcb-info', content: document('tcbInfo', tcbInfo) },
              { kind: 'tdx-qe-identity', content: document('enclaveIdentity', qeIdentity) },
            ],
    },
    policy: tdxVerifier.policySchema.parse(options.policy ?? {}),
    at,
    simulatedRoots: [{ namespace: 'x-tdx', fingerprint: hierarchy.rootFingerprint }],
    ...options.input,
  };
}

/** Signs a document and writes it as Intel's service does. */
export function signDocument(
  member: 'tcbInfo' | 'enclaveIdentity',
  json: unknown,
  key: KeyObject,
): Uint8Array {
  const text = JSON.stringify(json);
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return joinDocument(member, text, signature.toString('hex'));
}

/** Appraises a case. */
export function appraiseTdx(options: TdxCaseOptions = {}): Appraisal {
  return tdxVerifier.appraise(tdxCase(options));
}

/** The certificates of key holders. */
export function certificatesOf(...holders: readonly KeyHolder[]): readonly Uint8Array[] {
  return holders.map(({ certificate }) => certificate);
}

export { verdict } from './snp-case.js';
