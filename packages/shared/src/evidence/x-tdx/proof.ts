import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { reason, type Reason } from '../../reasons.js';
import { remembered } from '../remember.js';
import { verifyPckChain, type PckChain, type Trust } from './chain.js';
import type { TdxQuote } from './quote.js';

/** The attribute of an enclave that lets it be debugged (Intel SGX, ATTRIBUTES.DEBUG). */
const enclaveDebug = 0x02;

/**
 * Establishes without any collateral that a quoting enclave on a genuine platform signed the quote: the PCK's chain ends in a trusted root,
 * the PCK signed the enclave's report, the report is about the attestation key, and that key signed the quote.
 */
export function proveQuote(quote: TdxQuote, trust: Trust): PckChain | Reason {
  const chain = verifyPckChain(quote.pckChain, trust);
  if ('code' in chain) return chain;
  const { qeReport } = quote;
  if (!isSignedRaw(qeReport.signedBytes, quote.qeReportSignature, chain.pck.publicKey)) {
    return reason('TDX_QE_REPORT_SIGNATURE');
  }
  const expected = Buffer.alloc(64);
  createHash('sha256')
    .update(quote.attestationKey)
    .update(quote.qeAuthenticationData)
    .digest()
    .copy(expected);
  if (!expected.equals(qeReport.reportData)) return reason('TDX_QE_BINDING');
  if (((qeReport.attributes[0] ?? 0) & enclaveDebug) !== 0) return reason('TDX_QE_DEBUG');
  const key = p256Key(quote.attestationKey);
  if (key === undefined || !isSignedRaw(quote.signedBytes, quote.signature, key)) {
    return reason('TDX_QUOTE_SIGNATURE');
  }
  return chain;
}

/** ECDSA P-256 with SHA-256, the signature as r and s. */
function isSignedRaw(data: Uint8Array, signature: Uint8Array, key: KeyObject): boolean {
  return verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, signature);
}

/** A quoting enclave signs with one key for months, and reading one takes as long as a signature. */
const rememberedKeys = 512;

/** The key of a point, x and y; undefined when the point is not on the curve. */
const p256Key = remembered(readP256Key, rememberedKeys);

function readP256Key(point: Uint8Array): KeyObject | undefined {
  const coordinate = (from: number): string =>
    Buffer.from(point.subarray(from, from + 32)).toString('base64url');
  try {
    return createPublicKey({
      format: 'jwk',
      key: { kty: 'EC', crv: 'P-256', x: coordinate(0), y: coordinate(32) },
    });
  } catch {
    return undefined;
  }
}
