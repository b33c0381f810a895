import { createHash, generateKeyPairSync, sign, constants, type KeyObject } from 'node:crypto';

/** A key pair as a TPM's attestation key. */
export interface TpmKey {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** Hash algorithms by name, as TPMs number them. */
export const tpmHash = { sha1: 0x0004, sha256: 0x000b, sha384: 0x000c, sha512: 0x000d } as const;
type Hash = keyof typeof tpmHash;
const digestLengths: Readonly<Record<Hash, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

/** What differs from a quote over all PCRs of the SHA-256 bank. */
export interface TpmQuoteFields {
  readonly magic?: number;
  readonly type?: number;
  readonly nonce?: Uint8Array;
  readonly selection?: readonly { readonly bank: Hash; readonly indexes: readonly number[] }[];
  readonly values?: readonly Uint8Array[];
  readonly digestHash?: Hash;
  readonly safe?: number;
}

/** Object attributes of an attestation key: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign. */
export const attestationAttributes = 0x0005_0072;

export const rsaKey: TpmKey = generateKeyPairSync('rsa', { modulusLength: 2048 });
export const ecKey: TpmKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
export const ec384Key: TpmKey = generateKeyPairSync('ec', { namedCurve: 'P-384' });

/** All PCRs. */
export const allPcrs = Array.from({ length: 24 }, (_, index) => index);

/** A PCR's value in a bank: its number, repeated. */
export function pcrValue(index: number, bank: Hash = 'sha256'): Uint8Array {
  return new Uint8Array(digestLengths[bank]).fill(index + 1);
}

/** A big-endian number. */
export function be(value: number | bigint, length: number): Buffer {
  return Buffer.from(
    BigInt(value)
      .toString(16)
      .padStart(length * 2, '0'),
    'hex',
  );
}

/** A sized buffer. */
export function sized(bytes: Uint8Array): Buffer {
  return Buffer.concat([be(bytes.length, 2), bytes]);
}

/** The values of the PCRs that a quote covers. */
export function pcrValues(fields: TpmQuoteFields): readonly Uint8Array[] {
  return (
    fields.values ??
    selectionOf(fields).flatMap(({ bank, indexes }) => indexes.map((index) => pcrValue(index, bank)))
  );
}

function selectionOf({ selection }: TpmQuoteFields): NonNullable<TpmQuoteFields['selection']> {
  return selection ?? [{ bank: 'sha256', indexes: allPcrs }];
}

/** Writes a TPMS_ATTEST of the type quote. */
export function tpmQuote(fields: TpmQuoteFields = {}): Buffer {
  const { magic = 0xff544347, type = 0x8018, nonce = new Uint8Array(32).fill(7), safe = 1 } = fields;
  const banks = selectionOf(fields).map(({ bank, indexes }) => {
    const bitmap = Buffer.alloc(3);
    for (const index of indexes)
      bitmap.writeUInt8((bitmap[index >> 3] ?? 0) | (1 << (index & 7)), index >> 3);
    return Buffer.concat([be(tpmHash[bank], 2), be(3, 1), bitmap]);
  });
  const digest = createHash(fields.digestHash ?? 'sha256')
    .update(Buffer.concat(pcrValues(fields)))
    .digest();
  return Buffer.concat([
    be(magic, 4),
    be(type, 2),
    sized(Buffer.concat([be(tpmHash.sha256, 2), Buffer.alloc(32, 9)])),
    sized(nonce),
    be(123_456, 8),
    be(2, 4),
    be(1, 4),
    be(safe, 1),
    be(0x2019_1023_0016_3636n, 8),
    be(banks.length, 4),
    ...banks,
    sized(digest),
  ]);
}

/** Signs a quote as a TPMT_SIGNATURE. */
export function signQuote(
  quote: Uint8Array,
  { privateKey }: TpmKey,
  { scheme, hash = 'sha256' }: { readonly scheme?: 'rsassa' | 'rsapss' | 'ecdsa'; readonly hash?: Hash } = {},
): Buffer {
  const kind = scheme ?? (privateKey.asymmetricKeyType === 'rsa' ? 'rsassa' : 'ecdsa');
  const algorithm = { rsassa: 0x0014, rsapss: 0x0016, ecdsa: 0x0018 }[kind];
  const header = [be(algorithm, 2), be(tpmHash[hash], 2)];
  if (kind === 'ecdsa') {
    const signature = sign(hash, quote, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    const half = signature.length / 2;
    return Buffer.concat([...header, sized(signature.subarray(0, half)), sized(signature.subarray(half))]);
  }
  const padding = kind === 'rsapss' ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING;
  return Buffer.concat([...header, sized(sign(hash, quote, { key: privateKey, padding }))]);
}

/** Writes a TPM2B_PUBLIC of an attestation key. */
export function tpmPublic({ publicKey }: TpmKey, attributes: number = attestationAttributes): Buffer {
  const jwk = publicKey.export({ format: 'jwk' });
  const decode = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url');
  const isRsa = jwk.kty === 'RSA';
  const algNull = be(0x0010, 2);
  const parameters = isRsa
    ? [
        algNull,
        be(0x0014, 2),
        be(tpmHash.sha256, 2),
        be(decode(jwk.n).length * 8, 2),
        be(0, 4),
        sized(decode(jwk.n)),
      ]
    : [
        algNull,
        be(0x0018, 2),
        be(tpmHash.sha256, 2),
        be(jwk.crv === 'P-384' ? 0x0004 : 0x0003, 2),
        algNull,
        sized(decode(jwk.x)),
        sized(decode(jwk.y)),
      ];
  return sized(
    Buffer.concat([
      be(isRsa ? 0x0001 : 0x0023, 2),
      be(tpmHash.sha256, 2),
      be(attributes, 4),
      sized(new Uint8Array()),
      ...parameters,
    ]),
  );
}

/** The name of a key, in hex: what credential activation proves. */
export function tpmName(area: Uint8Array): string {
  return `000b${createHash('sha256').update(area.subarray(2)).digest('hex')}`;
}

/** SHA-256 over a SubjectPublicKeyInfo, in hex. */
export function spkiFingerprint({ publicKey }: TpmKey): string {
  return createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('hex');
}
