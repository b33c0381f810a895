import { splitCertificates } from '../x509.js';

/**
 * Takes a quote's PEM chain apart into DER certificates. No signature covers the text, so that it must be in the form
 * in which Intel's software writes it: lines of 64 characters, nothing between the certificates, at most one zero
 * byte at the end. Undefined when it is not.
 */
export function splitPckChain(bytes: Uint8Array): readonly Uint8Array[] | undefined {
  const certificates = splitCertificates(bytes);
  if (certificates === undefined) return undefined;
  const text = Buffer.from(bytes).toString('latin1').replaceAll('\r\n', '\n');
  const canonical = certificates.map(toPem).join('');
  const forms = [canonical, `${canonical}\0`, canonical.trimEnd()];
  return forms.includes(text) ? certificates : undefined;
}

function toPem(der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replaceAll(/.{1,64}/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`;
}
