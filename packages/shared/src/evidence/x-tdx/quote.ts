import { reason, type Reason } from '../../reasons.js';
import { Reader, Truncated } from './reader.js';
import { readTdReport, tdReport10Length, tdReport15Length, type TdReport } from './td-report.js';

/** The report of the quoting enclave, as far as it is needed (Intel SGX, REPORT). */
export interface QeReport {
  readonly miscselect: Uint8Array;
  readonly attributes: Uint8Array;
  readonly mrsigner: Uint8Array;
  readonly isvProdId: number;
  readonly isvSvn: number;
  readonly reportData: Uint8Array;
  /** The 384 bytes that the PCK signs. */
  readonly signedBytes: Uint8Array;
}

/** A quote of version 4 or 5 (Intel TDX DCAP Quoting Library API, appendix A.3 and A.4). */
export interface TdxQuote {
  readonly version: 4 | 5;
  readonly report: TdReport;
  /** Header and body: what the attestation key signs. */
  readonly signedBytes: Uint8Array;
  /** ECDSA P-256, r and s. */
  readonly signature: Uint8Array;
  /** The attestation key's point, x and y. */
  readonly attestationKey: Uint8Array;
  readonly qeReport: QeReport;
  readonly qeReportSignature: Uint8Array;
  readonly qeAuthenticationData: Uint8Array;
  /** The PCK's certificate chain as the quote carries it, PEM. */
  readonly pckChain: Uint8Array;
}

/** More than any honest quote with its padding, bytes. */
const maxQuoteBytes = 64 * 1024;
const ecdsaP256 = 2;
const tdxTee = 0x81;
const intelQe = '939a7233f79c4ca9940a0db3957f0607';
const certification = { pckChain: 5, qeReport: 6 };
const qeReportLength = 384;

/**
 * Reads a quote; a reason when it is not one. Every length must agree with the others. Some hosts pad quotes with
 * zeros, which are let pass; any other byte after the quote is refused, since no signature covers it.
 */
export function parseQuote(bytes: Uint8Array): TdxQuote | Reason {
  if (bytes.length > maxQuoteBytes) return reason('TDX_QUOTE_LENGTH');
  try {
    return readQuote(bytes);
  } catch (error) {
    if (error instanceof Truncated) return reason('TDX_QUOTE_LENGTH');
    throw error;
  }
}

function readQuote(bytes: Uint8Array): TdxQuote | Reason {
  const reader = new Reader(bytes);
  const version = reader.uint16();
  if (version !== 4 && version !== 5) return reason('TDX_QUOTE_VERSION');
  if (reader.uint16() !== ecdsaP256) return reason('TDX_KEY_TYPE');
  if (reader.uint32() !== tdxTee) return reason('TDX_TEE_TYPE');
  reader.take(4);
  if (hexOf(reader.take(16)) !== intelQe) return reason('TDX_QE_VENDOR');
  reader.take(20);

  const reportLength = version === 4 ? tdReport10Length : readBodyLength(reader);
  if (reportLength === undefined) return reason('TDX_BODY_TYPE');
  const report = readTdReport(reader.take(reportLength));
  const signedLength = reader.offset;

  const signatureData = new Reader(reader.take(reader.uint32()));
  if (reader.rest().some((byte) => byte !== 0)) return reason('TDX_TRAILING_BYTES');
  const [signature, attestationKey] = [signatureData.take(64), signatureData.take(64)];
  const outer = readCertification(signatureData);
  if (outer.type !== certification.qeReport) return reason('TDX_CERTIFICATION_DATA');
  const qe = new Reader(outer.data);
  const qeReport = readQeReport(qe.take(qeReportLength));
  const qeReportSignature = qe.take(64);
  const qeAuthenticationData = qe.take(qe.uint16());
  const inner = readCertification(qe);
  if (inner.type !== certification.pckChain) return reason('TDX_CERTIFICATION_DATA');
  if (!outer.isLast || !inner.isLast) return reason('TDX_QUOTE_LENGTH');
  return {
    version,
    report,
    signedBytes: new Uint8Array(bytes.subarray(0, signedLength)),
    signature,
    attestationKey,
    qeReport,
    qeReportSignature,
    qeAuthenticationData,
    pckChain: inner.data,
  };
}

/** Version 5 names the kind of its body and the length of that; undefined when they are not one of TDX. */
function readBodyLength(reader: Reader): number | undefined {
  const [type, length] = [reader.uint16(), reader.uint32()];
  const expected = new Map([
    [2, tdReport10Length],
    [3, tdReport15Length],
  ]).get(type);
  return expected === length ? length : undefined;
}

function readCertification(reader: Reader): { type: number; data: Uint8Array; isLast: boolean } {
  const type = reader.uint16();
  const data = reader.take(reader.uint32());
  return { type, data, isLast: reader.rest().length === 0 };
}

function readQeReport(bytes: Uint8Array): QeReport {
  const field = (offset: number, length: number): Uint8Array =>
    new Uint8Array(bytes.subarray(offset, offset + length));
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    miscselect: field(16, 4),
    attributes: field(48, 16),
    mrsigner: field(128, 32),
    isvProdId: view.readUInt16LE(256),
    isvSvn: view.readUInt16LE(258),
    reportData: field(320, 64),
    signedBytes: bytes,
  };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
