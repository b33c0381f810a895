import { createHash, generateKeyPairSync, sign, constants, type KeyObject } from 'node:crypto';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  CertificateList,
  Extension,
  Extensions,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  RevokedCertificate,
  SubjectPublicKeyInfo,
  TBSCertificate,
  TBSCertList,
  Time,
  Validity,
  Version,
} from '@peculiar/asn1-x509';

/** The product lines with an AMD root of their own. */
export type SnpProduct = 'Milan' | 'Genoa' | 'Turin';

/** Security versions of the firmware components; `fmc` exists on Turin only. */
export interface SnpTcb {
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
  readonly fmc?: number;
}

/** A certificate with the key that it certifies. */
export interface KeyHolder {
  readonly name: string;
  /** DER. */
  readonly certificate: Uint8Array;
  readonly privateKey: KeyObject;
}

/** A simulated vendor: a root with both of its intermediates. */
export interface SnpHierarchy {
  readonly product: SnpProduct;
  readonly ark: KeyHolder;
  /** Issues VCEKs. */
  readonly ask: KeyHolder;
  /** Issues VLEKs. */
  readonly asvk: KeyHolder;
  /** SHA-256 over the ARK's SubjectPublicKeyInfo, lower-case hex: what a configuration names as simulated root. */
  readonly rootFingerprint: string;
}

/** The validity that everything here has unless told otherwise. */
export const defaultValidity = {
  notBefore: new Date('2020-01-01T00:00:00Z'),
  notAfter: new Date('2045-01-01T00:00:00Z'),
} as const;

interface ValidityOptions {
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

/** What can be wrong with a certificate of the hierarchy. */
export interface AuthorityOptions extends ValidityOptions {
  readonly name?: string;
  readonly serial?: number;
  /** basicConstraints cA; undefined leaves the extension out. */
  readonly ca?: boolean;
  readonly keyUsage?: number;
  /** The key that signs it, instead of the ARK's. */
  readonly signingKey?: KeyObject;
  readonly issuerName?: string;
  /** The hash of the RSA-PSS signature; AMD's is sha384. */
  readonly hash?: 'sha256' | 'sha384';
  readonly extensions?: readonly Extension[];
}

/** What can be wrong with a hierarchy. */
export interface SnpHierarchyOptions {
  readonly product?: SnpProduct;
  /** Distinguishes vendors: hierarchies of the same key set share their keys. At most a few, since RSA keys are slow. */
  readonly keySet?: string;
  readonly ark?: AuthorityOptions;
  readonly ask?: AuthorityOptions;
  readonly asvk?: AuthorityOptions;
}

const rsaKeys = new Map<string, { readonly publicKey: KeyObject; readonly privateKey: KeyObject }>();

/** An RSA-2048 key by name, made once per process. */
export function rsaKey(name: string): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  const known = rsaKeys.get(name) ?? generateKeyPairSync('rsa', { modulusLength: 2048 });
  rsaKeys.set(name, known);
  return known;
}

/** Makes a simulated vendor. Its keys are RSA-2048 and shared by all hierarchies of the same key set. */
export function snpHierarchy(options: SnpHierarchyOptions = {}): SnpHierarchy {
  const { product = 'Milan', keySet = 'default' } = options;
  const arkKey = rsaKey(`${keySet}/ark`);
  const arkName = options.ark?.name ?? `ARK-${product}`;
  const authority = (
    role: 'ark' | 'ask' | 'asvk',
    name: string,
    serial: number,
    { ca = true, ...own }: AuthorityOptions = {},
  ): KeyHolder => {
    const { publicKey, privateKey } = rsaKey(`${keySet}/${role}`);
    const usage =
      role === 'ark' ? KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign : KeyUsageFlags.keyCertSign;
    const certificate = issueCertificate({
      subject: own.name ?? name,
      issuer: own.issuerName ?? arkName,
      serial: own.serial ?? serial,
      publicKey,
      signingKey: own.signingKey ?? arkKey.privateKey,
      extensions: [
        extension('2.5.29.19', AsnConvert.serialize(new BasicConstraints({ cA: ca })), true),
        extension('2.5.29.15', AsnConvert.serialize(new KeyUsage(own.keyUsage ?? usage)), true),
        ...(own.extensions ?? []),
      ],
      ...own,
    });
    return { name: own.name ?? name, certificate, privateKey };
  };
  return {
    product,
    ark: authority('ark', arkName, 0x10000, options.ark),
    ask: authority('ask', `SEV-${product}`, 0x10001, options.ask),
    asvk: authority('asvk', `SEV-VLEK-${product}`, 0x10101, options.asvk),
    rootFingerprint: createHash('sha256')
      .update(arkKey.publicKey.export({ type: 'spki', format: 'der' }))
      .digest('hex'),
  };
}

/** What can be wrong with a VCEK or a VLEK. */
export interface ChipCertificateOptions extends ValidityOptions {
  /** Decides the issuer, the subject name and the extensions. */
  readonly kind?: 'VCEK' | 'VLEK';
  readonly tcb?: SnpTcb;
  /** 64 bytes, on Turin 8. */
  readonly hwid?: Uint8Array;
  /** Wraps the hardware id into an OCTET STRING, as some of AMD's certificates do. */
  readonly hwidWrapped?: boolean;
  readonly csp?: string;
  readonly productName?: string;
  /** Object identifiers of extensions to leave out. */
  readonly without?: readonly string[];
  /** Extensions to add as they are. */
  readonly extensions?: readonly Extension[];
  readonly subject?: string;
  readonly issuer?: KeyHolder;
  readonly issuerName?: string;
  readonly serial?: number;
  readonly curve?: 'P-384' | 'P-256';
  readonly hash?: 'sha256' | 'sha384';
  readonly keys?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
}

/** The TCB of {@link chipCertificate} and of the reports of test/support/snp-report.ts. */
export const defaultTcb: SnpTcb = { bootloader: 4, tee: 0, snp: 24, microcode: 219 };
/** {@link defaultTcb} with a component that only Turin has. */
export const defaultTurinTcb: SnpTcb = { ...defaultTcb, fmc: 1 };

/** The chip identity of {@link chipCertificate} and of the reports of test/support/snp-report.ts. */
export function defaultHwid(product: SnpProduct = 'Milan'): Uint8Array {
  return Uint8Array.from({ length: product === 'Turin' ? 8 : 64 }, (_, index) => 0xa0 ^ index);
}

/** Makes a VCEK (by default) or VLEK with a new P-384 key, issued by the hierarchy's ASK or ASVK. */
export function chipCertificate(hierarchy: SnpHierarchy, options: ChipCertificateOptions = {}): KeyHolder {
  const { kind = 'VCEK', curve = 'P-384', without = [] } = options;
  const { product } = hierarchy;
  const { publicKey, privateKey } = options.keys ?? generateKeyPairSync('ec', { namedCurve: curve });
  const issuer = options.issuer ?? (kind === 'VCEK' ? hierarchy.ask : hierarchy.asvk);
  const tcb = options.tcb ?? (product === 'Turin' ? defaultTurinTcb : defaultTcb);
  const hwid = options.hwid ?? defaultHwid(product);
  const own = [
    extension(`${amd}.1`, integer(kind === 'VCEK' ? 0 : 1)),
    extension(`${amd}.2`, ia5String(options.productName ?? (kind === 'VCEK' ? `${product}-B0` : product))),
    extension(`${amd}.3.1`, integer(tcb.bootloader)),
    extension(`${amd}.3.2`, integer(tcb.tee)),
    extension(`${amd}.3.3`, integer(tcb.snp)),
    ...['4', '5', '6', '7'].map((reserved) => extension(`${amd}.3.${reserved}`, integer(0))),
    extension(`${amd}.3.8`, integer(tcb.microcode)),
    ...(tcb.fmc === undefined ? [] : [extension(`${amd}.3.9`, integer(tcb.fmc))]),
    kind === 'VCEK'
      ? extension(`${amd}.4`, options.hwidWrapped === true ? der(0x04, hwid) : hwid)
      : extension(`${amd}.5`, ia5String(options.csp ?? 'CN=cc-test.example.org')),
  ];
  const name = options.subject ?? `SEV-${kind}`;
  const certificate = issueCertificate({
    subject: name,
    issuer: options.issuerName ?? issuer.name,
    serial: options.serial ?? 0,
    publicKey,
    signingKey: issuer.privateKey,
    extensions: [...own.filter(({ extnID }) => !without.includes(extnID)), ...(options.extensions ?? [])],
    ...pick(options),
  });
  return { name, certificate, privateKey };
}

/** What can be wrong with a certificate revocation list. */
export interface RevocationListOptions {
  readonly thisUpdate?: Date;
  /** null leaves it out. */
  readonly nextUpdate?: Date | null;
  readonly issuerName?: string;
  readonly signingKey?: KeyObject;
  readonly hash?: 'sha256' | 'sha384';
  /** Serial numbers, of certificates that the ARK issued. */
  readonly revoked?: readonly number[];
  readonly extensions?: readonly Extension[];
  readonly entryExtensions?: readonly Extension[];
}

/** Makes the ARK's certificate revocation list, DER. */
export function revocationList(hierarchy: SnpHierarchy, options: RevocationListOptions = {}): Uint8Array {
  const { nextUpdate = defaultValidity.notAfter, hash = 'sha384' } = options;
  const revoked = options.revoked ?? [];
  const tbsCertList = new TBSCertList({
    version: Version.v2,
    signature: pssAlgorithm(hash),
    issuer: distinguishedName(options.issuerName ?? hierarchy.ark.name),
    thisUpdate: new Time(options.thisUpdate ?? defaultValidity.notBefore),
    ...(nextUpdate === null ? {} : { nextUpdate: new Time(nextUpdate) }),
    ...(revoked.length === 0
      ? {}
      : {
          revokedCertificates: revoked.map(
            (serial) =>
              new RevokedCertificate({
                userCertificate: integerBody(serial),
                revocationDate: new Time(defaultValidity.notBefore),
                ...(options.entryExtensions === undefined
                  ? {}
                  : { crlEntryExtensions: [...options.entryExtensions] }),
              }),
          ),
        }),
    ...(options.extensions === undefined ? {} : { crlExtensions: [...options.extensions] }),
  });
  const signature = signPss(
    AsnConvert.serialize(tbsCertList),
    options.signingKey ?? hierarchy.ark.privateKey,
    hash,
  );
  return new Uint8Array(
    AsnConvert.serialize(
      new CertificateList({ tbsCertList, signatureAlgorithm: pssAlgorithm(hash), signature }),
    ),
  );
}

interface CertificateFields extends ValidityOptions {
  readonly subject: string;
  readonly issuer: string;
  readonly serial: number;
  readonly publicKey: KeyObject;
  readonly signingKey: KeyObject;
  readonly extensions: readonly Extension[];
  readonly hash?: 'sha256' | 'sha384';
}

/** Issues a certificate, signed by RSA-PSS as AMD's are. DER. */
export function issueCertificate(fields: CertificateFields): Uint8Array {
  const { hash = 'sha384' } = fields;
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: integerBody(fields.serial),
    signature: pssAlgorithm(hash),
    issuer: distinguishedName(fields.issuer),
    subject: distinguishedName(fields.subject),
    validity: new Validity({
      notBefore: fields.notBefore ?? defaultValidity.notBefore,
      notAfter: fields.notAfter ?? defaultValidity.notAfter,
    }),
    subjectPublicKeyInfo: AsnConvert.parse(
      fields.publicKey.export({ type: 'spki', format: 'der' }),
      SubjectPublicKeyInfo,
    ),
    extensions: new Extensions([...fields.extensions]),
  });
  const signatureValue = signPss(AsnConvert.serialize(tbsCertificate), fields.signingKey, hash);
  return new Uint8Array(
    AsnConvert.serialize(
      new Certificate({ tbsCertificate, signatureAlgorithm: pssAlgorithm(hash), signatureValue }),
    ),
  );
}

/** An X.509 extension with a DER value. */
export function extension(oid: string, value: ArrayBuffer | Uint8Array, critical = false): Extension {
  return new Extension({ extnID: oid, critical, extnValue: new OctetString(value) });
}

/** A distinguished name in the form of AMD's certificates. */
export function distinguishedName(commonName: string): Name {
  const attribute = (type: string, value: string): RelativeDistinguishedName =>
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({ type, value: new AttributeValue({ utf8String: value }) }),
    ]);
  return new Name([
    attribute('2.5.4.11', 'Engineering'),
    attribute('2.5.4.10', 'Muster simulated hardware'),
    attribute('2.5.4.3', commonName),
  ]);
}

const amd = '1.3.6.1.4.1.3704.1';

function signPss(data: ArrayBuffer, key: KeyObject, hash: 'sha256' | 'sha384'): ArrayBuffer {
  const signature = sign(hash, Buffer.from(data), {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: hash === 'sha384' ? 48 : 32,
  });
  return new Uint8Array(signature).buffer;
}

/** RSASSA-PSS parameters with the same hash for the message and MGF1 (RFC 4055, section 3.1). */
function pssAlgorithm(hash: 'sha256' | 'sha384'): AlgorithmIdentifier {
  const digest = hash === 'sha384' ? '0202' : '0201';
  const hashAlgorithm = `300d060960864801650304${digest}0500`;
  const salt = hash === 'sha384' ? '30' : '20';
  const parameters = `3034a00f${hashAlgorithm}a11c301a06092a864886f70d010108${hashAlgorithm}a2030201${salt}`;
  return new AlgorithmIdentifier({
    algorithm: '1.2.840.113549.1.1.10',
    parameters: new Uint8Array(Buffer.from(parameters, 'hex')).buffer,
  });
}

function der(tag: number, content: Uint8Array): Uint8Array {
  return Uint8Array.from([tag, content.length, ...content]);
}

function integer(value: number): Uint8Array {
  return der(0x02, new Uint8Array(integerBody(value)));
}

/** The contents octets of an INTEGER that is not negative. */
function integerBody(value: number): ArrayBuffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return new Uint8Array((bytes[0] ?? 0) < 0x80 ? bytes : [0, ...bytes]).buffer;
}

function ia5String(value: string): Uint8Array {
  return der(0x16, Buffer.from(value, 'ascii'));
}

function pick({ notBefore, notAfter, hash }: ChipCertificateOptions): ValidityOptions & {
  readonly hash?: 'sha256' | 'sha384';
} {
  return {
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(notAfter === undefined ? {} : { notAfter }),
    ...(hash === undefined ? {} : { hash }),
  };
}
