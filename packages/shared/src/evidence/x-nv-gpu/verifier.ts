import { Pace } from '../../pace.js';
import { reason, type Reason } from '../../reasons.js';
import type { Appraisal, AppraisalInput, EvidenceVerifier } from '../appraisal.js';
import { contentsOf, readEach, readRims } from './collateral.js';
import { appraiseDevice, type DeviceFindings } from './device.js';
import { deviceAppraisal, softIn, tier } from './device-appraisal.js';
import { readDocument } from './document.js';
import { nvEndorsementQueries } from './endorsements.js';
import { bindingEvidence, gpuNonce } from './nonce.js';
import { parseOcspResponse, type OcspAnswer } from './ocsp.js';
import { nvPolicySchema, type NvPolicy } from './policy.js';
import { demandedManifests, deviceNames, linkedDevices, repeatedDevices } from './machine.js';
import { machineFailures, type PolicyFailure } from './policy-checks.js';
import { parseReport } from './report.js';
import type { RimReading } from './rim.js';
import { trustworthiness } from './trustworthiness.js';

const namespace = 'x-nv-gpu';
/** More than any honest set: bounds the signatures that a hostile one makes the verifier compute. */
const maxRims = 64;
const maxOcspResponses = 512;

type Input = AppraisalInput<NvPolicy>;

/** The verifier of NVIDIA GPUs and their switches. docs/namespaces/x-nv-gpu.md says what it proves. */
export const nvVerifier: EvidenceVerifier<NvPolicy, Promise<Appraisal>> = {
  namespace,
  policySchema: nvPolicySchema,
  endorsementQueries: nvEndorsementQueries,
  appraise,
};

/**
 * Appraises every device of a machine, and then the machine as a whole. One bad device is a bad machine. Others have
 * their turn of the event loop between documents and between devices: a machine has up to dozens of both.
 */
async function appraise(input: Input): Promise<Appraisal> {
  const pace = new Pace();
  pace.begin();
  if (Number.isNaN(input.at.getTime())) return refused(reason('NV_CLOCK_INVALID'));
  const document = readDocument(input.evidence.evidence);
  if ('code' in document) return refused(document);
  const collateral = await readCollateral(input, pace);
  if ('code' in collateral) return refused(collateral);

  const { policy, at, simulatedRoots, endorsements } = input;
  const nonce = expectedNonce(input);
  const presented = document.devices.map(({ report, certificates = endorsements.certificates }) => ({
    report: parseReport(report),
    certificates,
  }));
  const common = {
    manifests: { rims: collateral.rims, demanded: demandedManifests(presented.map(({ report }) => report)) },
    ocspAnswers: collateral.ocspAnswers,
    nonce,
    policy,
    at,
    simulatedRoots: simulatedRoots
      .filter((root) => root.namespace === namespace)
      .map(({ fingerprint }) => fingerprint),
  };
  const findings = await readEach(presented, (device) => appraiseDevice({ ...device, ...common }), pace);
  const devices = linkedDevices(findings);
  const isGenuine = devices.length === findings.length;
  return conclude(input, findings, {
    isGenuine,
    refusals: repeatedDevices(findings),
    // Devices that are not proven cannot be counted, and are refused as it is.
    failures: isGenuine ? machineFailures(devices, document.settings, policy) : [],
    settings: document.settings === undefined ? {} : { settings: { ...document.settings } },
  });
}

interface Machine {
  readonly isGenuine: boolean;
  readonly refusals: readonly Reason[];
  readonly failures: readonly PolicyFailure[];
  readonly settings: Appraisal['claims'];
}

function conclude({ policy }: Input, findings: readonly DeviceFindings[], machine: Machine): Appraisal {
  const names = deviceNames(findings);
  const located = (index: number, reasons: readonly Reason[]): readonly Reason[] =>
    findings.length === 1 ? reasons : reasons.map((entry) => ({ ...entry, path: names[index] ?? '' }));
  const each = (select: (found: DeviceFindings) => readonly Reason[]): readonly Reason[] =>
    findings.flatMap((found, index) => located(index, select(found)));

  const isSoft = softIn(policy);
  const failures = [...machine.failures, ...findings.flatMap((found) => found.failures)];
  const refusals = [...machine.refusals, ...each((found) => found.refusals)];
  const missing = each((found) => found.missing);
  const unchecked = [...new Set(findings.flatMap((found) => found.unchecked))];
  const isUnmeasured = unchecked.includes('rims');
  const isRefused = refusals.length > 0 || failures.some((failure) => !isSoft(failure));
  const status = tier({
    isRefused,
    isIncomplete: missing.length > 0,
    isWarned: failures.length > 0 || isUnmeasured,
  });
  return {
    namespace,
    status,
    reasons: [
      ...refusals,
      ...machine.failures.map((failure) => failure.reason),
      ...each((found) => found.failures.map((failure) => failure.reason)),
      ...missing,
      ...(isUnmeasured ? [reason('NV_RIM_MISSING')] : []),
    ],
    claims: {
      ...machine.settings,
      devices: Object.fromEntries(findings.map(({ claims }, index) => [names[index] ?? '', claims])),
    },
    unchecked,
    trustworthiness:
      status === 'none'
        ? {}
        : trustworthiness({
            failures,
            isSoft,
            isRefused: refusals.length > 0,
            isGenuine: machine.isGenuine,
            isMeasured: findings.every(({ measured }) => measured),
          }),
    simulated: findings.some(({ simulated }) => simulated),
    devices: findings.map((found, index) => deviceAppraisal(names[index] ?? '', found, policy)),
  };
}

function expectedNonce({ nonce, reportData, related = [] }: Input): Uint8Array | undefined {
  if (nonce !== undefined || reportData === undefined) return nonce;
  return gpuNonce(reportData, bindingEvidence(related));
}

/** Reads the documents at hand. Reasons: NV_RIM_EXCESSIVE, NV_RIM_MALFORMED, NV_OCSP_UNREADABLE. */
async function readCollateral(
  { endorsements: { documents } }: Input,
  pace: Pace,
): Promise<{ readonly rims: readonly RimReading[]; readonly ocspAnswers: readonly OcspAnswer[] } | Reason> {
  if (contentsOf(documents, 'nvidia-rim').length > maxRims) return reason('NV_RIM_EXCESSIVE');
  const rims = await readRims(documents, pace);
  const unreadable = rims.find((rim) => 'reason' in rim);
  if (unreadable !== undefined) return unreadable.reason;
  await readEach(rims, (rim) => 'signed' in rim && rim.signed(), pace);
  const responses = contentsOf(documents, 'ocsp');
  const answers = await readEach(responses.slice(0, maxOcspResponses), parseOcspResponse, pace);
  const isUsable = responses.length <= maxOcspResponses && !answers.includes(undefined);
  return isUsable
    ? { rims, ocspAnswers: answers.flatMap((some) => some ?? []) }
    : reason('NV_OCSP_UNREADABLE');
}

function refused(why: Reason): Appraisal {
  return {
    namespace,
    status: 'contraindicated',
    reasons: [why],
    claims: {},
    unchecked: [],
    trustworthiness: trustworthiness({
      failures: [],
      isSoft: () => false,
      isRefused: true,
      isGenuine: false,
      isMeasured: false,
    }),
    simulated: false,
  };
}
