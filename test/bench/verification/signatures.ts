import crypto, { constants, createHash, KeyObject, verify, type webcrypto } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

/** A signature check with everything at hand, by `node:crypto`. */
export type SignatureCheck = () => boolean;

/** The parameters of the signatures that tokens have (RFC 7518, section 3.1), as WebCrypto takes them. */
interface WebAlgorithm {
  readonly name: string;
  readonly hash?: string | { readonly name: string };
  readonly saltLength?: number;
}

const { subtle } = crypto.webcrypto;
const verifyByNode = verify;
const verifyByWeb = subtle.verify.bind(subtle);
/** What is recorded at the moment, by what is signed; undefined while nothing is. */
let recording: Map<string, SignatureCheck> | undefined;

// Modules keep what they import: this one has to be imported before those that verify.
Object.assign(crypto, {
  verify: (...[algorithm, data, key, signature, ...rest]: Parameters<typeof verify>) => {
    note(data as Uint8Array, signature as Uint8Array, () => verifyByNode(algorithm, data, key, signature));
    return verifyByNode(algorithm, data, key, signature, ...rest);
  },
});
syncBuiltinESMExports();
Object.defineProperty(subtle, 'verify', {
  value: (algorithm: WebAlgorithm, key: webcrypto.CryptoKey, signature: Uint8Array, data: Uint8Array) => {
    const [name, options] = nodeOptions(algorithm, key);
    note(data, signature, () => verifyByNode(name, data, options, signature));
    return verifyByWeb(algorithm, key, signature, data);
  },
});

/**
 * The signatures that some work relies on: what it gives to `node:crypto` or to WebCrypto to check and what holds, each
 * once. So the yardstick is never of another verification than the one that is measured. Throws when there is none.
 */
export async function signaturesOf(work: () => Promise<unknown>): Promise<readonly SignatureCheck[]> {
  const found = new Map<string, SignatureCheck>();
  recording = found;
  try {
    await work();
  } finally {
    recording = undefined;
  }
  const checks = [...found.values()].filter((check) => check());
  if (checks.length === 0) throw new Error('nothing was verified');
  return checks;
}

function note(data: Uint8Array, signature: Uint8Array, check: SignatureCheck): void {
  recording?.set(createHash('sha256').update(data).update(signature).digest('hex'), check);
}

function nodeOptions(
  { name, hash = 'SHA-256', saltLength = 0 }: WebAlgorithm,
  webKey: webcrypto.CryptoKey,
): [string, Parameters<typeof verify>[2]] {
  const key = KeyObject.from(webKey);
  const digest = (typeof hash === 'string' ? hash : hash.name).replace('-', '').toLowerCase();
  if (name === 'ECDSA') return [digest, { key, dsaEncoding: 'ieee-p1363' }];
  if (name === 'RSA-PSS') return [digest, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }];
  return [digest, { key }];
}
