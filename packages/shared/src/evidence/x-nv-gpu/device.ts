import { verify } from 'node:crypto';
import { reason, type Reason } from '../../reasons.js';
import type { Json } from '../appraisal.js';
import { isP384, type VendorCertificate } from '../x509.js';
import { deviceClaims } from './claims.js';
import { proveDevice, type ProvenDevice } from './device-chain.js';
import { reportFields, type ReportFields } from './fields.js';
import { certificateFwid } from './fwid.js';
import { matchMeasurements, type Match } from './measurements.js';
import { certificateStatus, type OcspAnswer } from './ocsp.js';
import type { NvPolicy } from './policy.js';
import { deviceFailures, type PolicyFailure } from './policy-checks.js';
import type { SpdmReport } from './report.js';
import { findRims, type RimDemand, type RimsAtHand, type RimSlot } from './rim-trust.js';

/** What the appraisal of one device depends on. */
export interface DeviceInput {
  /** The SPDM request and response; a reason where they are not readable. */
  readonly report: SpdmReport | Reason;
  /** Its chain, DER, the first certificate first. */
  readonly certificates: readonly Uint8Array[];
  readonly manifests: RimsAtHand;
  readonly ocspAnswers: readonly OcspAnswer[];
  /** The nonce to answer; undefined where none is known. */
  readonly nonce: Uint8Array | undefined;
  readonly policy: NvPolicy;
  readonly at: Date;
  readonly simulatedRoots: readonly string[];
}

/** What was found out about one device. */
export interface DeviceFindings {
  /** The device, when its chain and the signature of its report hold. */
  readonly device?: ProvenDevice;
  /** What its report says beside the measurements. */
  readonly fields?: ReportFields;
  /** Reasons against it that no policy can soften. */
  readonly refusals: readonly Reason[];
  /** What could not be decided for want of something. */
  readonly missing: readonly Reason[];
  readonly failures: readonly PolicyFailure[];
  readonly unchecked: readonly string[];
  /** Whether all measurements are as they should be. */
  readonly measured: boolean;
  readonly claims: { readonly [key: string]: Json };
  readonly simulated: boolean;
}

/**
 * Appraises one device in this order: form, certificate chain, signature; then nonce, firmware identifier, mode,
 * measurements, revocation, policy. A failure up to the signature ends it; from there on every reason is collected.
 */
export function appraiseDevice(input: DeviceInput): DeviceFindings {
  const { report } = input;
  if ('code' in report) return ended([report]);
  const fields = reportFields(report);
  const device = proveDevice(input.certificates, input);
  if ('code' in device) {
    const claims = deviceClaims(report, fields);
    return device.code === 'NV_CHAIN_MISSING' ? ended([], [device], claims) : ended([device], [], claims);
  }
  if (!isSignedBy(report, device)) {
    return ended([reason('NV_REPORT_SIGNATURE')], [], deviceClaims(report, fields, { device }));
  }
  return judge({ report, fields, device }, input);
}

interface Genuine {
  readonly report: SpdmReport;
  readonly fields: ReportFields;
  readonly device: ProvenDevice;
}

function judge({ report, fields, device }: Genuine, input: DeviceInput): DeviceFindings {
  const { policy, nonce } = input;
  const nonceFault =
    nonce === undefined || Buffer.from(report.nonce).equals(nonce) ? undefined : reason('NV_NONCE');
  const fwid = checkFwid(fields, device);
  const isModeKnown = fields.ppcie !== 'invalid' && fields.feature !== 'invalid';
  const measured = measure({ report, fields, device }, input);
  const rims = measured.match?.rims ?? [];
  const revocation = checkRevocation(device, rims, input);
  const needsRims = policy.require_rims;
  return {
    device,
    fields,
    refusals: [
      ...present(nonceFault),
      ...present(fwid.fault),
      ...(isModeKnown ? [] : [reason('NV_MODE_INVALID')]),
      ...measured.refusals,
      ...revocation.refusals,
    ],
    missing: [
      ...(needsRims ? measured.missing : []),
      ...(revocation.isIncomplete && policy.revocation === 'required' ? [reason('NV_OCSP_MISSING')] : []),
    ],
    failures: deviceFailures({ device, fields }, policy),
    unchecked: [
      ...(revocation.isIncomplete && policy.revocation === 'optional' ? ['ocsp'] : []),
      ...(measured.missing.length > 0 && !needsRims ? ['rims'] : []),
      ...(nonce === undefined ? ['nonce'] : []),
    ],
    measured: measured.match !== undefined,
    claims: deviceClaims(report, fields, {
      device,
      signature: 'valid',
      nonce: nonce === undefined ? 'unchecked' : verdict(nonceFault),
      fwid: fwid.result,
      ...(measured.match === undefined ? {} : { match: measured.match }),
    }),
    simulated: device.simulated || rims.some(({ simulated }) => simulated),
  };
}

/** ECDSA P-384 with SHA-384 over everything before the signature. */
function isSignedBy(
  { signedData, signature }: SpdmReport,
  { chain: [{ publicKey }] }: ProvenDevice,
): boolean {
  return (
    isP384(publicKey) &&
    verify('sha384', signedData, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)
  );
}

/**
 * The firmware that the report names must be the one that the certificate was issued for. LS10 switches name none: what
 * runs there is known by the measurements alone.
 */
function checkFwid(
  { fwid }: ReportFields,
  { architecture, chain: [leaf] }: ProvenDevice,
): { readonly result: 'match' | 'mismatch' | 'unreported'; readonly fault?: Reason } {
  if (fwid === undefined && architecture === 'ls10') return { result: 'unreported' };
  const certified = certificateFwid(leaf);
  if (fwid === undefined || certified === undefined) {
    return { result: 'mismatch', fault: reason('NV_FWID_MISSING') };
  }
  return Buffer.from(fwid).equals(certified)
    ? { result: 'match' }
    : { result: 'mismatch', fault: reason('NV_FWID_MISMATCH') };
}

interface Measured {
  readonly match?: Match;
  readonly refusals: readonly Reason[];
  readonly missing: readonly Reason[];
}

/** Finds the manifests of driver and firmware, and compares. A switch has no driver of its own. */
function measure({ report, fields, device }: Genuine, input: DeviceInput): Measured {
  const isSwitch = device.architecture === 'ls10';
  const demands = rimDemands(fields, isSwitch);
  if ('code' in demands) return { refusals: [demands], missing: [] };
  const { at, simulatedRoots, policy } = input;
  const trust = { at, simulatedRoots, signers: policy.rim_signers };
  const slots = demands.map((demand) => findRims(demand, input.manifests, trust));
  const found = slots.filter((slot): slot is Extract<RimSlot, { rims: unknown }> => 'rims' in slot);
  if (found.length < slots.length) {
    const lacking = slots.flatMap((slot) => ('reason' in slot ? [slot] : []));
    return {
      refusals: lacking.filter(({ missing }) => !missing).map(({ reason }) => reason),
      missing: lacking.filter(({ missing }) => missing).map(({ reason }) => reason),
    };
  }
  const match = matchMeasurements(
    { blocks: report.blocks, nvdec0: isSwitch ? undefined : { status: fields.nvdec0 } },
    found.map(({ rims }) => rims),
  );
  return 'code' in match ? { refusals: [match], missing: [] } : { match, refusals: [], missing: [] };
}

/** The manifests that a device needs. Reason: NV_REPORT_MALFORMED when the report does not name the versions. */
export function rimDemands(
  { driverVersion, vbiosVersion }: ReportFields,
  isSwitch: boolean,
): readonly RimDemand[] | Reason {
  if (vbiosVersion === undefined || (driverVersion === undefined && !isSwitch)) {
    return reason('NV_REPORT_MALFORMED', {
      message: 'The report does not name the versions of driver and firmware.',
    });
  }
  return [
    ...(isSwitch || driverVersion === undefined ? [] : [{ kind: 'driver' as const, version: driverVersion }]),
    { kind: 'firmware', version: vbiosVersion },
  ];
}

/**
 * The certificates whose status counts: the device's without the first, which the device itself issues at every start,
 * and the manifests' whole chains. Roots are pinned instead.
 */
export function statusSubjects(
  chain: readonly VendorCertificate[],
  from: 0 | 1,
): readonly { readonly certificate: VendorCertificate; readonly issuer: VendorCertificate }[] {
  return chain.slice(from, -1).flatMap((certificate, index) => {
    const issuer = chain[from + index + 1];
    return issuer === undefined ? [] : [{ certificate, issuer }];
  });
}

function checkRevocation(
  { chain }: ProvenDevice,
  rims: Match['rims'],
  { ocspAnswers, at }: DeviceInput,
): { readonly refusals: readonly Reason[]; readonly isIncomplete: boolean } {
  const subjects = [...statusSubjects(chain, 1), ...rims.flatMap((rim) => statusSubjects(rim.chain, 0))];
  const outcomes = subjects.map((subject) => certificateStatus(subject, ocspAnswers, at));
  return {
    refusals: outcomes.filter((outcome) => typeof outcome !== 'string'),
    isIncomplete: outcomes.includes('absent'),
  };
}

function verdict(fault: Reason | undefined): 'match' | 'mismatch' {
  return fault === undefined ? 'match' : 'mismatch';
}

function present(fault: Reason | undefined): readonly Reason[] {
  return fault === undefined ? [] : [fault];
}

function ended(
  refusals: readonly Reason[],
  missing: readonly Reason[] = [],
  claims: DeviceFindings['claims'] = {},
): DeviceFindings {
  return { refusals, missing, failures: [], unchecked: [], measured: false, claims, simulated: false };
}
