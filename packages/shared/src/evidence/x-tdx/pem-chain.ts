import { splitCertificates } from '../x509.js';

/**
 * Takes a quote's PEM chain apart into DER certificates. No signature covers the text, so that it may have nothing but
 * certificates in their one base64 form, in lines of any length; at most a line end and a zero byte follow. Undefined
 * when there is anything else.
 */
export function splitPckChain(bytes: Uint8Array): readonly Uint8Array[] | undefined {
  const certificates = splitCertificates(bytes);
  if (certificates === undefined) return undefined;
  const text = Buffer.from(bytes).toString('latin1').replaceAll('\r\n', '\n');
  const chain = text.endsWith('\n\0') ? text.slice(0, -1) : text;
  return chain.replaceAll('\n', '') === certificates.map(toPem).join('') ? certificates : undefined;
}

/** A certificate in PEM (RFC 7468), but in one line. */
function toPem(der: Uint8Array): string {
  return `-----BEGIN CERTIFICATE-----${Buffer.from(der).toString('base64')}-----END CERTIFICATE-----`;
}
