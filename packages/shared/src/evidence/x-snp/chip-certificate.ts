import { reason, type Reason } from '../../reasons.js';
import type { Check } from '../select.js';
import type { VendorCertificate } from '../x509.js';
import { componentBelow, decodeTcb, productOfName, type Product, type Tcb } from './product.js';
import type { SigningKey, SnpReport } from './report.js';

/** AMD's arc of object identifiers (VCEK Certificate and KDS Interface Specification, section 3). */
const arc = '1.3.6.1.4.1.3704.1';
const oids = {
  productName: `${arc}.2`,
  bootloader: `${arc}.3.1`,
  tee: `${arc}.3.2`,
  snp: `${arc}.3.3`,
  microcode: `${arc}.3.8`,
  fmc: `${arc}.3.9`,
  hwid: `${arc}.4`,
  csp: `${arc}.5`,
} as const;

/** The kind that a chip certificate's subject names; undefined for a certificate that is no chip's. */
export function chipCertificateKind({ commonName }: VendorCertificate): SigningKey | undefined {
  return (['VCEK', 'VLEK'] as const).find((kind) => commonName === `SEV-${kind}`);
}

/** The product line that a chip certificate is for; the only source for reports of version 2. */
export function productOfCertificate(certificate: VendorCertificate): Product | undefined {
  return (
    productOfName(readString(certificate, oids.productName) ?? '') ??
    productOfName(certificate.issuerCommonName)
  );
}

/** The cloud provider that a VLEK is for. */
export function cspOf(certificate: VendorCertificate): string | undefined {
  return readString(certificate, oids.csp);
}

/** The part of a chip id that a product's hardware id has: Turin's is 8 bytes long, the others' 64. */
export function hwidLength(product: Product): number {
  return product === 'Turin' ? 8 : 64;
}

/** The checks that bind a chip certificate to a report of a product, in order. */
export function chipCertificateChecks(
  report: SnpReport,
  product: Product,
): readonly Check<VendorCertificate>[] {
  return [
    checkKey,
    (certificate) => checkProduct(certificate, product),
    (certificate) =>
      report.signingKey === 'VCEK' ? checkHwid(certificate, report, product) : checkCsp(certificate, report),
    (certificate) => checkTcb(certificate, report, product),
  ];
}

function checkKey({ publicKey }: VendorCertificate): Reason | undefined {
  const isP384 =
    publicKey.asymmetricKeyType === 'ec' && publicKey.asymmetricKeyDetails?.namedCurve === 'secp384r1';
  return isP384 ? undefined : reason('SNP_CERTIFICATE_KEY');
}

/** A name that is not known is let pass: the pinned root decides the product, the name only repeats it. */
function checkProduct(certificate: VendorCertificate, product: Product): Reason | undefined {
  const name = readString(certificate, oids.productName);
  if (name === undefined) return lacks('productName');
  const named = productOfName(name);
  if (named === undefined || named === product) return undefined;
  return reason('SNP_CERTIFICATE_PRODUCT', {
    message: `The chip certificate is for ${name}; the report is from a ${product} processor.`,
  });
}

function checkHwid(certificate: VendorCertificate, report: SnpReport, product: Product): Reason | undefined {
  const length = hwidLength(product);
  const hwid = readOctets(certificate, oids.hwid, length);
  if (hwid === undefined) return lacks('hwID');
  if (certificate.extensions.has(oids.csp)) return hasForeign('csp');
  const chip = Buffer.from(report.chipId);
  const matches = chip.subarray(0, length).equals(hwid) && chip.subarray(length).every((byte) => byte === 0);
  return matches ? undefined : reason('SNP_CERTIFICATE_CHIP');
}

/** A VLEK belongs to a provider, not to a chip: it names none, and neither does the report. */
function checkCsp(certificate: VendorCertificate, report: SnpReport): Reason | undefined {
  if (cspOf(certificate) === undefined) return lacks('csp');
  if (certificate.extensions.has(oids.hwid)) return hasForeign('hwID');
  if (report.chipId.every((byte) => byte === 0)) return undefined;
  return reason('SNP_CERTIFICATE_CHIP', {
    message: 'The report is signed by a VLEK, which hides the chip, and yet names one.',
  });
}

function checkTcb(certificate: VendorCertificate, report: SnpReport, product: Product): Reason | undefined {
  const components = ['bootloader', 'tee', 'snp', 'microcode'] as const;
  const names = product === 'Turin' ? (['fmc', ...components] as const) : components;
  const values = names.map((name) => readInteger(certificate, oids[name]));
  const missing = names[values.indexOf(undefined)];
  if (missing !== undefined) return lacks(`${missing}SPL`);
  const reported = decodeTcb(product, report.reportedTcb);
  if (reported === undefined) return reason('SNP_TCB_RESERVED');
  const certified = Object.fromEntries(names.map((name, index) => [name, values[index]])) as Partial<Tcb>;
  const differing =
    componentBelow(reported, certified) ?? names.find((name) => certified[name] !== reported[name]);
  if (differing === undefined) return undefined;
  return reason('SNP_CERTIFICATE_TCB', {
    message: `The chip certificate is for ${differing} ${certified[differing]}; the report names ${reported[differing]}.`,
  });
}

function lacks(extension: string): Reason {
  return reason('SNP_CERTIFICATE_EXTENSION', {
    message: `The chip certificate has no readable ${extension} extension.`,
  });
}

function hasForeign(extension: string): Reason {
  return reason('SNP_CERTIFICATE_EXTENSION', {
    message: `The chip certificate has a ${extension} extension, which its kind may not have.`,
  });
}

/** A small DER INTEGER, 0 to 255. */
function readInteger(certificate: VendorCertificate, oid: string): number | undefined {
  const [tag, length, ...content] = certificate.extensions.get(oid) ?? [];
  if (tag !== 0x02 || content.length !== length) return undefined;
  const [first = 256, second] = content;
  if (length === 1) return first < 0x80 ? first : undefined;
  return length === 2 && first === 0 && second !== undefined && second >= 0x80 ? second : undefined;
}

/** A DER string of any of the types for plain text. */
function readString(certificate: VendorCertificate, oid: string): string | undefined {
  const value = Buffer.from(certificate.extensions.get(oid) ?? []);
  const [tag = 0, length] = value;
  const isText = [0x0c, 0x13, 0x16].includes(tag);
  return isText && length === value.length - 2 && length > 0 && length < 0x80
    ? value.toString('latin1', 2)
    : undefined;
}

/** Octets of a fixed length, bare or as a DER OCTET STRING: AMD has issued both. */
function readOctets(certificate: VendorCertificate, oid: string, length: number): Uint8Array | undefined {
  const value = certificate.extensions.get(oid);
  if (value?.length === length) return value;
  const isWrapped = value?.length === length + 2 && value[0] === 0x04 && value[1] === length;
  return isWrapped ? value.subarray(2) : undefined;
}
