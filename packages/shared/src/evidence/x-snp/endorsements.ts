import type { EndorsementQuery, Endorsements, Evidence } from '../appraisal.js';
import { parseCertificate, parseCrl, splitCertificates, type VendorCertificate } from '../x509.js';
import { parseCertificateTable } from './certificate-table.js';
import { sortCertificates, type SnpCertificates } from './chain.js';
import { chipCertificateChecks, hwidLength, productOfCertificate } from './chip-certificate.js';
import { decodeTcb, productOfCpuid, type Product, type Tcb } from './product.js';
import { parseReport, type SnpReport } from './report.js';

/** Certificates of all sources; `unreadable` and `malformedTable` say what could not be read. */
export interface CollectedCertificates {
  readonly certificates: readonly VendorCertificate[];
  readonly unreadable: boolean;
  readonly malformedTable: boolean;
}

/** Reads the certificates at hand and those of the table beside the report, each once. */
export function collectCertificates(
  { auxiliary }: Evidence,
  atHand: readonly Uint8Array[],
): CollectedCertificates {
  const table = auxiliary === undefined ? [] : parseCertificateTable(auxiliary);
  const split = [...atHand, ...(table ?? [])].map(splitCertificates);
  const distinct = new Map(split.flatMap((ders) => (ders ?? []).map((der) => [keyOf(der), der])));
  const parsed = [...distinct.values()].map(parseCertificate);
  const certificates = parsed.filter((certificate) => certificate !== undefined);
  return {
    certificates,
    unreadable: split.includes(undefined) || certificates.length < parsed.length,
    malformedTable: table === undefined,
  };
}

function keyOf(der: Uint8Array): string {
  return Buffer.from(der).toString('base64');
}

/** The products that a report may be from: its processor says, or in version 2 the chip certificates. */
export function candidateProducts(
  report: SnpReport,
  { chips }: Pick<SnpCertificates, 'chips'>,
): readonly Product[] {
  const named = report.cpuid === undefined ? chips.map(productOfCertificate) : [productOfCpuid(report.cpuid)];
  return [...new Set(named.filter((product) => product !== undefined))];
}

/**
 * What is worth fetching from AMD's key service for a report (VCEK Certificate and KDS Interface Specification,
 * section 4). What was put at hand explicitly is never replaced by something fetched: wrong endorsements are refused.
 * A table's certificates come from the host, which may be behind its firmware, so unfitting ones are fetched anew.
 * A VLEK cannot be fetched. Without any certificate a report of version 2 does not tell its product, so that the VCEK
 * is asked for in each product line with such reports.
 */
export function snpEndorsementQueries(evidence: Evidence, atHand: Endorsements): readonly EndorsementQuery[] {
  const report = parseReport(evidence.evidence);
  if ('code' in report) return [];
  const given = collectCertificates({ ...evidence, auxiliary: new Uint8Array() }, atHand.certificates);
  const all = collectCertificates(evidence, atHand.certificates);
  if (all.malformedTable || all.unreadable) return [];
  const [explicit, together] = [sortCertificates(given.certificates), sortCertificates(all.certificates)];
  const [product] = candidateProducts(report, together);
  if (product === undefined) return report.version === 2 ? queriesOfUnnamedProduct(report) : [];

  const kind = report.signingKey === 'VCEK' ? 'vcek' : 'vlek';
  const queries: EndorsementQuery[] = [];
  const fits = together.chips.some((chip) =>
    chipCertificateChecks(report, product).every((check) => check(chip) === undefined),
  );
  const vcek =
    kind === 'vcek' && explicit.chips.length === 0 && !fits ? vcekPath(report, product) : undefined;
  if (vcek !== undefined) queries.push({ vendor: 'amd', kind: 'certificates', path: vcek });
  const hasChain = (sorted: SnpCertificates): boolean =>
    sorted.roots.length > 0 && sorted.intermediates.length > 0;
  if (!hasChain(explicit) && !hasChain(together)) {
    queries.push({ vendor: 'amd', kind: 'certificates', path: `${kind}/v1/${product}/cert_chain` });
  }
  const issuers = new Set(atHand.crls.map((der) => parseCrl(der)?.issuer));
  if (!together.roots.some(({ subject }) => issuers.has(subject))) {
    queries.push({ vendor: 'amd', kind: 'crl', path: `${kind}/v1/${product}/crl` });
  }
  return queries;
}

function queriesOfUnnamedProduct(report: SnpReport): readonly EndorsementQuery[] {
  if (report.signingKey !== 'VCEK') return [];
  const paths = (['Milan', 'Genoa'] as const).map((product) => vcekPath(report, product));
  return paths.flatMap((path) =>
    path === undefined ? [] : [{ vendor: 'amd' as const, kind: 'certificates' as const, path }],
  );
}

/** The path of a chip's certificate at AMD's key service; undefined for a report that hides its chip. */
function vcekPath(report: SnpReport, product: Product): string | undefined {
  const tcb = decodeTcb(product, report.reportedTcb);
  if (tcb === undefined || report.chipId.every((byte) => byte === 0)) return undefined;
  const hwid = Buffer.from(report.chipId.subarray(0, hwidLength(product))).toString('hex');
  return `vcek/v1/${product}/${hwid}?${tcbQuery(tcb)}`;
}

function tcbQuery({ fmc, bootloader, tee, snp, microcode }: Tcb): string {
  const parameters = { fmcSPL: fmc, blSPL: bootloader, teeSPL: tee, snpSPL: snp, ucodeSPL: microcode };
  return Object.entries(parameters)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
    .join('&');
}
