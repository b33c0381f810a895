import { constants, verify, type KeyObject } from 'node:crypto';
import { readStructure, type HashName } from './structure.js';

const rsassa = 0x0014;
const rsapss = 0x0016;
const ecdsa = 0x0018;

/** A signature by a TPM (TPM 2.0 Library, part 2, TPMT_SIGNATURE). */
export type TpmSignature =
  | {
      readonly scheme: 'rsassa' | 'rsapss';
      readonly hash: HashName;
      readonly signature: Uint8Array;
    }
  | { readonly scheme: 'ecdsa'; readonly hash: HashName; readonly r: Uint8Array; readonly s: Uint8Array };

/** Reads a signature; undefined when it is of another scheme, or something follows it. */
export function parseSignature(bytes: Uint8Array): TpmSignature | undefined {
  return readStructure(bytes, (reader) => {
    const scheme = reader.u16();
    const hash = reader.hash();
    if (scheme === ecdsa) return { scheme: 'ecdsa', hash, r: reader.sized(), s: reader.sized() };
    if (scheme !== rsassa && scheme !== rsapss) throw new RangeError('the scheme is not known');
    return { scheme: scheme === rsassa ? 'rsassa' : 'rsapss', hash, signature: reader.sized() };
  });
}

/** Coordinate lengths of the curves that TPMs sign with, bytes. */
const coordinateLengths: Readonly<Record<string, number>> = { prime256v1: 32, secp384r1: 48 };
const minimumRsaBits = 2048;

/** Whether a key is one that a quote may be signed by: RSA of 2048 bits or more, ECC P-256 or P-384. */
export function isQuotingKey({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType === 'rsa') return (asymmetricKeyDetails?.modulusLength ?? 0) >= minimumRsaBits;
  return asymmetricKeyType === 'ec' && coordinateLength(asymmetricKeyDetails?.namedCurve) !== undefined;
}

/** Whether the signature over a message holds under a key that fits its scheme. SHA-1 never does. */
export function isSignedBy(message: Uint8Array, signature: TpmSignature, key: KeyObject): boolean {
  if (signature.hash === 'sha1' || !isQuotingKey(key)) return false;
  if (signature.scheme === 'ecdsa') {
    const length = coordinateLength(key.asymmetricKeyDetails?.namedCurve);
    const { r, s } = signature;
    if (length === undefined || r.length > length || s.length > length) return false;
    const joined = Buffer.alloc(2 * length);
    joined.set(r, length - r.length);
    joined.set(s, 2 * length - s.length);
    return verify(signature.hash, message, { key, dsaEncoding: 'ieee-p1363' }, joined);
  }
  if (key.asymmetricKeyType !== 'rsa') return false;
  const padding =
    signature.scheme === 'rsassa'
      ? { padding: constants.RSA_PKCS1_PADDING }
      : { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
  return verify(signature.hash, message, { key, ...padding }, signature.signature);
}

function coordinateLength(curve: string | undefined): number | undefined {
  return coordinateLengths[curve ?? ''];
}
