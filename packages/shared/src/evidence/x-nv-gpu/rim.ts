import { once } from '../../memo.js';
import { reason, type Reason } from '../../reasons.js';
import { remembered } from '../remember.js';
import { parseCertificate, type VendorCertificate } from '../x509.js';
import { dsigNamespace, findSignature, signedContent } from './rim-signature.js';
import { attribute, children, elements, maxXmlBytes, parseXml, type XmlElement } from './xml.js';

const swidNamespace = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd';
const hashNamespace = 'http://www.w3.org/2001/04/xmlenc#sha384';

/** What a measurement may be. */
export interface RimMeasurement {
  /** Block `index + 1` of a report. */
  readonly index: number;
  readonly active: boolean;
  /** Length of the value, bytes. */
  readonly size: number;
  /** The values that are right, hex as the manifest has them, in lower case. */
  readonly values: readonly string[];
}

/** A reference integrity manifest (TCG RIM Information Model, as an ISO 19770-2 tag). */
export interface Rim {
  /** The driver's, or the firmware's of a GPU (VBIOS) or a switch (BIOS): its version tells. */
  readonly kind: 'driver' | 'firmware';
  /** For example `550.90.07` or `96.00.9F.00.01`, in upper case. */
  readonly version: string;
  /** For example `GH100`. */
  readonly product: string;
  readonly measurements: readonly RimMeasurement[];
}

/** A well-formed manifest, with what its certificates and its signature are worth still to be decided. */
export interface ReadRim {
  /** What it says of itself unsigned, to tell what it is for. */
  readonly claimed: Pick<Rim, 'kind' | 'version'>;
  /** The signer's certificate first. */
  readonly chain: readonly VendorCertificate[];
  /**
   * What is signed, verified when it is first asked for: that takes several times as long as reading. A reason when the
   * signature does not hold by the first certificate, NV_RIM_SIGNATURE, or over something malformed, NV_RIM_MALFORMED.
   */
  readonly signed: () => Rim | Reason;
}

/** A manifest, or NV_RIM_MALFORMED. */
export type RimReading = ReadRim | { readonly reason: Reason };

const firmwareVersion = /^[0-9A-F]{2}(?:\.[0-9A-F]{2}){4}$/;
const maxIndex = 253;
const maxAlternatives = 64;
const maxSize = 1024;
const maxCertificates = 8;
const rememberedManifests = 64;

/** Thrown inside the reader, and turned into a reason at its border. */
class Malformed extends Error {}

/**
 * Reads a manifest: its XML is safe and well-formed. What is signed is read from nothing but the part that its one
 * signature covers, which must be all of it. The dates and the issuers of the certificates are not checked here.
 */
export const readRim = remembered(read, rememberedManifests, maxXmlBytes);

function read(bytes: Uint8Array): RimReading {
  try {
    const root = parseRoot(bytes);
    const chain = readCertificates(root);
    const signature = findSignature(root);
    return { claimed: readMeta(root), chain, signed: once(() => readSigned(bytes, signature, chain)) };
  } catch (error) {
    return { reason: malformedReason(error) };
  }
}

function readSigned(
  bytes: Uint8Array,
  signature: string | undefined,
  [signer]: readonly VendorCertificate[],
): Rim | Reason {
  try {
    const text = Buffer.from(bytes).toString('utf8');
    const content =
      signature === undefined || signer === undefined
        ? undefined
        : signedContent(text, signature, signer.publicKey);
    if (content === undefined) return reason('NV_RIM_SIGNATURE');
    const signed = parseRoot(Buffer.from(content));
    return { ...readMeta(signed), measurements: readPayload(signed) };
  } catch (error) {
    return malformedReason(error);
  }
}

/**
 * Reads the measurements of a manifest's payload without regard to its signature, for tests of the reader.
 * Reason: NV_RIM_MALFORMED.
 */
export function parsePayload(bytes: Uint8Array): readonly RimMeasurement[] | Reason {
  try {
    return readPayload(parseRoot(bytes));
  } catch (error) {
    return malformedReason(error);
  }
}

function malformedReason(error: unknown): Reason {
  if (!(error instanceof Malformed)) throw error;
  return reason('NV_RIM_MALFORMED', { message: `The manifest is malformed: ${error.message}.` });
}

function parseRoot(bytes: Uint8Array): XmlElement {
  const root = parseXml(bytes);
  if (root === undefined) throw new Malformed('it is no plain XML of moderate size');
  if (root.namespaceURI !== swidNamespace || root.localName !== 'SoftwareIdentity') {
    throw new Malformed('its root is no SoftwareIdentity');
  }
  return root;
}

function readMeta(root: XmlElement): Pick<Rim, 'kind' | 'version' | 'product'> {
  const metas = byName(root, 'Meta');
  const [meta] = metas;
  if (meta === undefined || metas.length > 1) throw new Malformed('it does not have one Meta element');
  const version = attribute(meta, 'colloquialVersion')?.toUpperCase();
  if (version === undefined || !/^[0-9A-F.]{1,32}$/.test(version)) {
    throw new Malformed('it has no colloquialVersion');
  }
  const kind = firmwareVersion.test(version) ? 'firmware' : 'driver';
  return { kind, version, product: attribute(meta, 'product') ?? '' };
}

function readCertificates(root: XmlElement): readonly VendorCertificate[] {
  const data = ['Signature', 'KeyInfo', 'X509Data'].reduce<XmlElement | undefined>(
    (parent, name) => parent && children(parent, dsigNamespace, name)[0],
    root,
  );
  if (data === undefined) throw new Malformed('it has no X509Data');
  const texts = children(data, dsigNamespace, 'X509Certificate');
  if (texts.length === 0 || texts.length > maxCertificates) {
    throw new Malformed('it has no certificates, or too many');
  }
  return texts.map(({ textContent }) => {
    const base64 = (textContent ?? '').replace(/\s/g, '');
    const certificate = /^[A-Za-z0-9+/]+={0,2}$/.test(base64)
      ? parseCertificate(Uint8Array.from(Buffer.from(base64, 'base64')))
      : undefined;
    if (certificate === undefined) throw new Malformed('a certificate is not readable');
    return certificate;
  });
}

function readPayload(root: XmlElement): readonly RimMeasurement[] {
  const payloads = byName(root, 'Payload');
  const [payload] = payloads;
  if (payload === undefined || payloads.length > 1)
    throw new Malformed('it does not have one Payload element');
  const measurements = elements(payload).map(readMeasurement);
  if (measurements.length === 0) throw new Malformed('its payload is empty');
  if (new Set(measurements.map(({ index }) => index)).size < measurements.length) {
    throw new Malformed('two measurements have the same index');
  }
  return measurements;
}

function readMeasurement(resource: XmlElement): RimMeasurement {
  const isMeasurement =
    resource.namespaceURI === swidNamespace &&
    resource.localName === 'Resource' &&
    attribute(resource, 'type') === 'Measurement';
  if (!isMeasurement) throw new Malformed('its payload has an unknown resource');
  const active = attribute(resource, 'active');
  if (active !== 'True' && active !== 'False') throw new Malformed('a measurement has no active');
  const index = integer(resource, 'index', 0, maxIndex);
  const alternatives = integer(resource, 'alternatives', 1, maxAlternatives);
  const values = Array.from(
    { length: alternatives },
    (_, alternative) => resource.getAttributeNS(hashNamespace, `Hash${alternative}`) ?? '',
  );
  if (values.includes('')) throw new Malformed(`measurement ${index} lacks a hash`);
  return {
    index,
    active: active === 'True',
    size: integer(resource, 'size', 1, maxSize),
    values: values.map((value) => value.toLowerCase()),
  };
}

function integer(element: XmlElement, name: string, least: number, most: number): number {
  const text = attribute(element, name);
  const value = text !== undefined && /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) throw new Malformed(`a measurement has no valid ${name}`);
  return value;
}

function byName(root: XmlElement, name: string): readonly XmlElement[] {
  return children(root, swidNamespace, name);
}
