import { createHash, sign, type KeyObject } from 'node:crypto';
import { SignedXml, C14nCanonicalization } from 'xml-crypto';
import type { EndorsementDocument } from '@muster/shared/evidence/appraisal.js';
import {
  extension,
  fingerprintOf,
  holder,
  ocspResponse,
  p384Key,
  type Holder,
  type HolderOptions,
} from './nvidia-pki.js';

/** When simulated evidence is verified, unless a test says otherwise. */
export const nvTime = new Date('2026-06-01T00:00:00Z');

/** The values of a simulated device. */
export const driverVersion = '560.10.05';
export const firmwareVersion = '97.00.0A.00.02';

/** A device's measurement i, 48 bytes. */
export function measurementOf(index: number): Buffer {
  return createHash('sha384').update(`measurement ${index}`).digest();
}

/** What a simulated device is, and what can be wrong with it. */
export interface DeviceOptions {
  readonly chip?: string;
  readonly name?: string;
  readonly rootName?: string;
  /** The options of each certificate, from the device's signing one to the root. */
  readonly certificates?: readonly (HolderOptions | undefined)[];
  /** The certified firmware identifier; null for a certificate that names none. */
  readonly fwid?: Buffer | null;
}

/** A simulated device: its chain, the one that signs reports first. */
export interface SimulatedGpu {
  readonly chain: readonly [Holder, Holder, Holder, Holder, Holder];
  readonly fingerprint: string;
  readonly key: KeyObject;
}

/** The firmware identifier of simulated devices. */
export const defaultFwid = createHash('sha384').update('firmware').digest();

/** Makes a device with a chain of five certificates. */
export function simulatedGpu(options: DeviceOptions = {}): SimulatedGpu {
  const {
    chip = 'GH100',
    name = 'one',
    rootName = 'Simulated Device Identity CA',
    fwid = defaultFwid,
  } = options;
  const [leafOptions, ownOptions, icaOptions, identityOptions, rootOptions] = options.certificates ?? [];
  const root = holder(rootName, { ca: true, ...rootOptions });
  const identity = holder(`${chip} Identity`, { issuer: root, ca: true, ...identityOptions });
  const ica = holder(`${chip} Provisioner ICA 1`, { issuer: identity, ca: true, ...icaOptions });
  const own = holder(`${chip} A01 GSP BROM`, {
    issuer: ica,
    ca: true,
    key: p384Key(`device ${name}`),
    serial: createHash('sha256').update(name).digest('hex').slice(0, 18),
    ...ownOptions,
  });
  const leaf = holder(`${chip} A01 GSP FMC LF`, {
    issuer: own,
    key: p384Key(`firmware ${name}`),
    serial: createHash('sha256').update(`leaf ${name}`).digest('hex').slice(0, 18),
    extensions: fwid === null ? [] : [fwidExtension(chip, fwid)],
    ...leafOptions,
  });
  return { chain: [leaf, own, ica, identity, root], fingerprint: fingerprintOf(root), key: leaf.key };
}

/** Hopper ends in the digest; Blackwell has DiceTcbInfo, in which other fields follow. */
function fwidExtension(chip: string, fwid: Buffer): ReturnType<typeof extension> {
  const sequence = (...parts: readonly Buffer[]): Buffer => element(0x30, Buffer.concat(parts));
  const sha384 = Buffer.from('0609608648016503040202', 'hex');
  const entry = sequence(sha384, element(0x04, fwid));
  if (!chip.startsWith('GB')) {
    return extension('2.23.133.5.4.1', sequence(Buffer.from('020101', 'hex'), entry));
  }
  const vendor = element(0x80, Buffer.from('NVIDIA'));
  const type = element(0x89, Buffer.alloc(64, 7));
  return extension('2.23.133.5.4.1.1', sequence(vendor, element(0xa6, entry), type));
}

function element(tag: number, content: Buffer): Buffer {
  const length = content.length < 128 ? [content.length] : [0x81, content.length];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

/** What a report says, and what can be wrong with it. */
export interface ReportOptions {
  readonly nonce?: Uint8Array;
  /** Blocks as [index, value]; by default 1 to 64 with the measurements of a simulated device. */
  readonly blocks?: readonly (readonly [number, Uint8Array])[];
  /** Opaque fields that replace the usual ones of the same type; null leaves one out. */
  readonly opaque?: Readonly<Record<number, Uint8Array | null>>;
  /** Opaque fields after these. */
  readonly moreOpaque?: readonly (readonly [number, Uint8Array])[];
  readonly version?: number;
  readonly code?: number;
  readonly key?: KeyObject;
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`);

/** The nonce of simulated reports. */
export const defaultNonce = Uint8Array.from({ length: 32 }, (_, index) => index);

/** Makes and signs the SPDM request and response of a device. */
export function spdmReport(device: SimulatedGpu, options: ReportOptions = {}): Uint8Array {
  const { nonce = defaultNonce, version = 0x11, code = 0x60, key = device.key } = options;
  const blocks =
    options.blocks ?? Array.from({ length: 64 }, (_, index) => [index + 1, measurementOf(index)] as const);
  const usual: Record<number, Uint8Array | null> = {
    3: text(driverVersion),
    6: Buffer.from('000a009702000000', 'hex'),
    11: Buffer.of(0xaa),
    15: text('885'),
    17: text('g520'),
    18: text('0200'),
    20: defaultFwid,
    21: Buffer.of(0x55),
    ...options.opaque,
  };
  const fields = [
    ...Object.entries(usual).flatMap(([type, value]) =>
      value === null ? [] : [[Number(type), value] as const],
    ),
    ...(options.moreOpaque ?? []),
  ];
  const record = Buffer.concat(
    blocks.map(([index, value]) =>
      Buffer.concat([Buffer.of(index, 1), u16(value.length + 3), Buffer.of(1), u16(value.length), value]),
    ),
  );
  const opaque = Buffer.concat(
    fields.map(([type, value]) => Buffer.concat([u16(type), u16(value.length), value])),
  );
  const signed = Buffer.concat([
    Buffer.of(version, 0xe0, 1, 0xff),
    nonce,
    Buffer.of(0),
    Buffer.of(version, code, 0, 0, blocks.length),
    u16(record.length & 0xffff),
    Buffer.of(record.length >> 16),
    record,
    Buffer.alloc(32, 9),
    u16(opaque.length),
    opaque,
  ]);
  return Buffer.concat([signed, sign('sha384', signed, { key, dsaEncoding: 'ieee-p1363' })]);
}

/** The firmware of a simulated switch. */
export const switchVersion = '96.10.55.00.01';

/** Makes and signs the report of a switch (LS10): 31 measurements, no driver, no firmware identifier. */
export function switchReport(
  device: SimulatedGpu,
  links: { readonly own: string; readonly gpus: readonly string[] },
  options: ReportOptions = {},
): Uint8Array {
  const hex = (...texts: readonly string[]): Buffer => Buffer.from(texts.join(''), 'hex');
  const ports = Buffer.alloc(64, 0xff);
  return spdmReport(device, {
    blocks: range(0, 30).map((index) => [index + 1, measurementOf(index)] as const),
    ...options,
    opaque: {
      ...Object.fromEntries([3, 11, 15, 17, 18, 20, 21].map((type) => [type, null])),
      6: text(switchVersion),
      22: hex(links.own),
      26: Buffer.concat([Buffer.concat([hex(...links.gpus), Buffer.alloc(64)]).subarray(0, 64), ports]),
      ...options.opaque,
    },
  });
}

/** The opaque field by which a GPU names the switches that it is linked to, and links that are not used. */
export function switchesOfGpu(...pdis: readonly string[]): ReportOptions {
  const names = pdis.map((pdi) => Buffer.from(Buffer.from(pdi, 'hex').toReversed()));
  return { opaque: { 22: Buffer.concat([...names, ...names, Buffer.alloc(8)]) } };
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

/** What a manifest says, and what can be wrong with it. */
export interface ManifestOptions {
  readonly version?: string;
  /** The measurements that are active; the others of 0 to 63 are not. */
  readonly active?: readonly number[];
  readonly values?: Readonly<Record<number, readonly string[]>>;
  readonly signer?: HolderOptions;
  readonly rootName?: string;
  /** Changes the document before it is signed. */
  readonly before?: (xml: string) => string;
}

/** A simulated manifest and who signed it. */
export interface SimulatedManifest {
  readonly xml: string;
  readonly chain: readonly [Holder, Holder, Holder];
  readonly fingerprint: string;
}

const c14n11 = 'http://www.w3.org/2006/12/xml-c14n11';
const more = 'http://www.w3.org/2001/04/xmldsig-more#';

class C14n11 extends C14nCanonicalization {
  override getAlgorithmName(): string {
    return c14n11;
  }
}

class Sha384 {
  getAlgorithmName(): string {
    return `${more}sha384`;
  }
  getHash(xml: string): string {
    return createHash('sha384').update(xml).digest('base64');
  }
}

class EcdsaSha384 {
  getAlgorithmName(): string {
    return `${more}ecdsa-sha384`;
  }
  getSignature(info: unknown, key: unknown): string {
    const options = { key: key as KeyObject, dsaEncoding: 'ieee-p1363' } as const;
    return sign('sha384', Buffer.from(String(info)), options).toString('base64');
  }
  verifySignature(): boolean {
    throw new Error('this algorithm only signs');
  }
}

/** Makes and signs a manifest of 64 measurements. */
export function manifest(options: ManifestOptions = {}): SimulatedManifest {
  const { version = driverVersion, active = range(0, 31), values = {}, before = (xml) => xml } = options;
  const root = holder(options.rootName ?? 'Simulated RIM Root CA', { ca: true });
  const authority = holder('Simulated Reference Value CA', { issuer: root, ca: true });
  const signer = holder('Simulated RIM Signer', { issuer: authority, ...options.signer });
  const resources = range(0, 63).map((index) => {
    const hashes = values[index] ?? [measurementOf(index).toString('hex')];
    const attributes = hashes.map((hash, alternative) => `ns2:Hash${alternative}="${hash}"`).join(' ');
    const isActive = active.includes(index) ? 'True' : 'False';
    return `<ns0:Resource type="Measurement" index="${index}" active="${isActive}" alternatives="${hashes.length}" ${attributes} name="m${index}" size="48"/>`;
  });
  const xml = before(
    '<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" name="GH100" tagId="1">' +
      `<ns0:Meta colloquialVersion="${version}" edition="GPU" product="GH100"/>` +
      `<ns0:Payload>${resources.join('\n')}</ns0:Payload></SoftwareIdentity>`,
  );
  const chain = [signer, authority, root] as const;
  return { xml: signXml(xml, signer.key, chain), chain, fingerprint: fingerprintOf(root) };
}

function signXml(xml: string, key: KeyObject, chain: readonly Holder[]): string {
  const signer = new SignedXml({
    privateKey: key,
    canonicalizationAlgorithm: c14n11,
    signatureAlgorithm: `${more}ecdsa-sha384`,
    getKeyInfoContent: () =>
      `<ds:X509Data>${chain
        .map(
          ({ certificate }) =>
            `<ds:X509Certificate>${Buffer.from(certificate).toString('base64')}</ds:X509Certificate>`,
        )
        .join('')}</ds:X509Data>`,
  });
  signer.CanonicalizationAlgorithms[c14n11] = C14n11;
  signer.HashAlgorithms[`${more}sha384`] = Sha384;
  signer.SignatureAlgorithms[`${more}ecdsa-sha384`] = EcdsaSha384;
  signer.addReference({
    xpath: '/*',
    uri: '',
    isEmptyUri: true,
    transforms: ['http://www.w3.org/2000/09/xmldsig#enveloped-signature', c14n11],
    digestAlgorithm: `${more}sha384`,
  });
  signer.computeSignature(xml, { prefix: 'ds' });
  return signer.getSignedXml();
}

/** A document of the kind `nvidia-rim`. */
export function rimDocument(xml: string): EndorsementDocument {
  return { kind: 'nvidia-rim', content: Uint8Array.from(Buffer.from(xml)) };
}

/** Good OCSP responses for all that can have one: a device's certificates but the first, and a manifest's. */
export function goodResponses(chain: readonly Holder[], from: 0 | 1): readonly EndorsementDocument[] {
  return chain.slice(from, -1).map((subject, index) => ({
    kind: 'ocsp',
    content: ocspResponse(subject, chain[from + index + 1] ?? subject),
  }));
}

/** Whole numbers from the first to the last. */
export function range(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
