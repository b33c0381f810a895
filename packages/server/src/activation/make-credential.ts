import {
  constants,
  createCipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { refusal } from '@muster/shared/errors.js';

/** A credential as a TPM takes it. */
export interface Credential {
  /** TPM2B_ID_OBJECT. */
  readonly blob: Uint8Array;
  /** TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSecret: Uint8Array;
}

/** What the templates L-1 and L-2 of endorsement keys say (TCG EK Credential Profile, annex B): SHA-256, AES-128 CFB. */
const [hash, hashBytes, cipher, cipherKeyBytes] = ['sha256', 32, 'aes-128-cfb', 16] as const;
const identity = Buffer.from('IDENTITY\0');
const curve = 'prime256v1';
const rsaBits = 2048;

/** Whether credentials can be made for an endorsement key: RSA with 2048 bits, or P-256. */
export function takesCredentials({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType === 'rsa') return asymmetricKeyDetails?.modulusLength === rsaBits;
  return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === curve;
}

/**
 * Makes a credential around a secret of at most 32 bytes (TPM 2.0 Library, part 1, section 24, and part 3,
 * TPM2_MakeCredential). Only the TPM with the endorsement key opens it, and only while it holds an object of this name.
 * Errors: TPM_EK_UNSUPPORTED for a number that is no key.
 */
export function makeCredential(endorsementKey: KeyObject, name: Uint8Array, secret: Uint8Array): Credential {
  const { seed, encryptedSecret } = shareSeed(endorsementKey);
  const key = deriveKey(seed, 'STORAGE', name, cipherKeyBytes);
  const encrypted = createCipheriv(cipher, key, Buffer.alloc(16)).update(sized(secret));
  const integrityKey = deriveKey(seed, 'INTEGRITY', new Uint8Array(), hashBytes);
  const integrity = createHmac(hash, integrityKey).update(encrypted).update(name).digest();
  return {
    blob: sized(Buffer.concat([sized(integrity), encrypted])),
    encryptedSecret: sized(encryptedSecret),
  };
}

interface SharedSeed {
  readonly seed: Uint8Array;
  readonly encryptedSecret: Uint8Array;
}

function shareSeed(key: KeyObject): SharedSeed {
  try {
    return key.asymmetricKeyType === 'rsa' ? sealSeed(key) : agreeOnSeed(key);
  } catch (cause) {
    throw refusal('TPM_EK_UNSUPPORTED', {}, cause);
  }
}

/** A random seed, for an RSA key to decrypt (part 1, annex B.10). */
function sealSeed(key: KeyObject): SharedSeed {
  const seed = randomBytes(hashBytes);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return {
    seed,
    encryptedSecret: publicEncrypt({ key, padding, oaepHash: hash, oaepLabel: identity }, seed),
  };
}

/** The seed that a one-time key agrees on with an ECC key (part 1, annex C.6, and KDFe of section 11.4.10.3). */
function agreeOnSeed(publicKey: KeyObject): SharedSeed {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: curve });
  const [own, theirs] = [pointOf(createPublicKey(privateKey)), pointOf(publicKey)];
  const seed = createHash(hash)
    .update(u32(1))
    .update(diffieHellman({ privateKey, publicKey }))
    .update(identity)
    .update(own.x)
    .update(theirs.x)
    .digest();
  return { seed, encryptedSecret: Buffer.concat([sized(own.x), sized(own.y)]) };
}

/** KDFa (part 1, section 11.4.10.2) of at most one digest's length. */
function deriveKey(seed: Uint8Array, label: string, context: Uint8Array, bytes: number): Buffer {
  return createHmac(hash, seed)
    .update(u32(1))
    .update(`${label}\0`)
    .update(context)
    .update(u32(bytes * 8))
    .digest()
    .subarray(0, bytes);
}

function pointOf(key: KeyObject): { readonly x: Buffer; readonly y: Buffer } {
  const { x = '', y = '' } = key.export({ format: 'jwk' });
  return { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') };
}

function sized(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
