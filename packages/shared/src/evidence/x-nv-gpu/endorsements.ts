import { Pace } from '../../pace.js';
import type { EndorsementQuery, Endorsements, Evidence } from '../appraisal.js';
import { parseCertificate, type VendorCertificate } from '../x509.js';
import { contentsOf, readEach, readRims } from './collateral.js';
import { chipOf } from './device-chain.js';
import { rimDemands, statusSubjects } from './device.js';
import { readDocument, type DeviceEvidence } from './document.js';
import { reportFields, type ReportFields } from './fields.js';
import { certificateId, isAnswered, parseOcspResponse, type StatusSubject } from './ocsp.js';
import { parseReport } from './report.js';
import type { RimReading } from './rim.js';
import type { RimDemand } from './rim-trust.js';

/** More than a machine with eight GPUs and four switches needs. */
const maxQueries = 96;

/** The switches' manifests have fixed names for board and chip. */
const switchBoard = '5612_0002_890';

/**
 * What is worth fetching from NVIDIA for the evidence at hand: the manifests of the versions that the reports name, from
 * the RIM service, and the status of the certificates of devices and manifests, from the OCSP service. What is at hand
 * is not asked for again.
 */
export async function nvEndorsementQueries(
  { evidence }: Evidence,
  { certificates, documents }: Endorsements,
): Promise<readonly EndorsementQuery[]> {
  const pace = new Pace();
  pace.begin();
  const document = readDocument(evidence);
  if ('code' in document) return [];
  const rims = await readRims(documents, pace);
  const answers = await readEach(contentsOf(documents, 'ocsp'), parseOcspResponse, pace);
  const devices = await readEach(document.devices, (device) => describe(device, certificates), pace);
  const known = answers.flatMap((some) => some ?? []);
  const subjects = [
    ...devices.flatMap(({ chain }) => statusSubjects(chain, 1)),
    ...rims.flatMap((rim) => ('chain' in rim ? statusSubjects(rim.chain, 0) : [])),
  ];
  const paths = new Map<string, EndorsementQuery['kind']>([
    ...devices.flatMap(({ chip, fields }) =>
      rimPaths(chip, fields, rims).map((path) => [path, 'nvidia-rim'] as const),
    ),
    ...subjects
      .filter((subject) => !isAnswered(subject, known))
      .map((subject) => [ocspPath(subject), 'ocsp'] as const),
  ]);
  return [...paths].slice(0, maxQueries).map(([path, kind]) => ({ vendor: 'nvidia', kind, path }));
}

interface Described {
  readonly chip: string;
  readonly fields: ReportFields | undefined;
  readonly chain: readonly VendorCertificate[];
}

/** Reads what a device says about itself, unverified: a lie costs a query and nothing else. */
function describe(device: DeviceEvidence, certificates: readonly Uint8Array[]): Described {
  const chain = (device.certificates ?? certificates)
    .slice(0, 5)
    .flatMap((der) => parseCertificate(der) ?? []);
  const report = parseReport(device.report);
  return {
    chain,
    chip: chipOf(chain),
    fields: 'code' in report ? undefined : reportFields(report),
  };
}

function rimPaths(
  chip: string,
  fields: ReportFields | undefined,
  atHand: readonly RimReading[],
): readonly string[] {
  if (chip === '' || fields === undefined) return [];
  const demands = rimDemands(fields, chip === 'LS10');
  if ('code' in demands) return [];
  return demands
    .filter((demand) => !atHand.some((rim) => isFor(rim, demand)))
    .map((demand) => `v1/rim/${rimId(demand, chip, fields)}`);
}

function isFor(reading: RimReading, { kind, version }: RimDemand): boolean {
  return 'claimed' in reading && reading.claimed.kind === kind && reading.claimed.version === version;
}

/** How NVIDIA names its manifests. */
export function rimId({ kind, version }: RimDemand, chip: string, fields: ReportFields): string {
  if (kind === 'driver') {
    return chip.startsWith('GH')
      ? `NV_GPU_DRIVER_GH100_${version}`
      : `NV_GPU_CC_DRIVER_${fields.chip ?? chip}_${version}`;
  }
  const digits = version.replaceAll('.', '');
  if (chip === 'LS10') return `NV_SWITCH_BIOS_${switchBoard}_${digits}`;
  const { project = '', projectSku = '', chipSku = '' } = fields;
  return `NV_GPU_VBIOS_${[project, projectSku, chipSku].map((part) => part.toUpperCase()).join('_')}_${digits}`;
}

/** `ocsp/<SHA-384 of the issuer's name>/<of its key>/<serial number>`: what an OCSP request is made of. */
function ocspPath(subject: StatusSubject): string {
  const { nameHash, keyHash, serial } = certificateId(subject);
  return `ocsp/${nameHash}/${keyHash}/${serial}`;
}
