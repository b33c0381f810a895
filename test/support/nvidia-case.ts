import type { Appraisal, AppraisalInput, EndorsementDocument } from '@muster/shared/evidence/appraisal.js';
import { writeDocument, type DriverSettings } from '@muster/shared/evidence/x-nv-gpu/document.js';
import { nvVerifier } from '@muster/shared/evidence/x-nv-gpu/verifier.js';
import {
  defaultNonce,
  firmwareVersion,
  goodResponses,
  manifest,
  nvTime,
  range,
  rimDocument,
  simulatedGpu,
  spdmReport,
  type ReportOptions,
  type SimulatedGpu,
} from './nvidia-device.js';

/** What a case differs in from a good one: one Hopper GPU, both manifests, good OCSP responses. */
export interface NvCase {
  readonly gpu?: SimulatedGpu;
  readonly report?: ReportOptions;
  /** Replaces the device's part of the evidence. */
  readonly devices?: readonly { readonly report: Uint8Array; readonly certificates: readonly Uint8Array[] }[];
  readonly settings?: DriverSettings;
  /** Replaces the whole evidence. */
  readonly evidence?: Uint8Array;
  readonly documents?: readonly EndorsementDocument[];
  readonly certificates?: readonly Uint8Array[];
  readonly policy?: Record<string, unknown>;
  readonly input?: Partial<AppraisalInput<never>>;
  readonly roots?: readonly string[];
}

/** The manifests of a simulated device. */
export const driverRim = manifest();
export const firmwareRim = manifest({ version: firmwareVersion, active: range(32, 63) });
/** Everything that a simulated GPU needs beside its own chain. */
export const rimDocuments: readonly EndorsementDocument[] = [
  rimDocument(driverRim.xml),
  rimDocument(firmwareRim.xml),
  ...goodResponses(driverRim.chain, 0),
];

/** The device of a case that brings none, and what is known of its certificates. */
const defaultGpu = simulatedGpu();
const defaultResponses = goodResponses(defaultGpu.chain, 1);

/** One device's part of the evidence. */
export function deviceOf(
  gpu: SimulatedGpu,
  report: ReportOptions = {},
): { readonly report: Uint8Array; readonly certificates: readonly Uint8Array[] } {
  return { report: spdmReport(gpu, report), certificates: gpu.chain.map(({ certificate }) => certificate) };
}

/** Appraises a case. */
export function appraise(given: NvCase = {}): Promise<Appraisal> {
  const { gpu = defaultGpu, settings, policy = {}, certificates = [], input = {} } = given;
  const devices = given.devices ?? [deviceOf(gpu, given.report)];
  return nvVerifier.appraise({
    evidence: {
      namespace: 'x-nv-gpu',
      evidence: given.evidence ?? writeDocument({ devices, ...(settings && { settings }) }),
    },
    endorsements: {
      certificates,
      crls: [],
      documents: given.documents ?? [
        ...rimDocuments,
        ...(gpu === defaultGpu ? defaultResponses : goodResponses(gpu.chain, 1)),
      ],
    },
    nonce: defaultNonce,
    policy: nvVerifier.policySchema.parse(policy),
    at: nvTime,
    simulatedRoots: (given.roots ?? [gpu.fingerprint, driverRim.fingerprint]).map((fingerprint) => ({
      namespace: 'x-nv-gpu',
      fingerprint,
    })),
    ...input,
  });
}

/** The codes of an appraisal's reasons. */
export function codes({ reasons }: Appraisal): readonly string[] {
  return reasons.map(({ code }) => code);
}
