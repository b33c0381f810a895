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

/**
 * The signatures that some work relies on: what it gives to `node:crypto` or to WebCrypto to check and what holds, each
 * once. So the yardstick is never of another verification than the one that is measured.
 */
export async function signaturesOf(work: () => Promise<unknown>): Promise<readonly SignatureCheck[]> {
  const { subtle } = crypto.webcrypto;
  const verifyNow = verify;
  const verifyByWeb = subtle.verify.bind(subtle);
  const seen = new Map<string, SignatureCheck>();
  const note = (data: Uint8Array, signature: Uint8Array, check: SignatureCheck): void => {
    seen.set(createHash('sha256').update(data).update(signature).digest('hex'), check);
  };
  const replace = (byNode: unknown, byWeb: unknown): void => {
    Object.assign(crypto, { verify: byNode });
    syncBuiltinESMExports();
    Object.defineProperty(subtle, 'verify', { value: byWeb, configurable: true });
  };
  replace(
    (...[algorithm, data, key, signature, ...rest]: Parameters<typeof verify>) => {
      note(data as Uint8Array, signature as Uint8Array, () => verifyNow(algorithm, data, key, signature));
      return verifyNow(algorithm, data, key, signature, ...rest);
    },
    (algorithm: WebAlgorithm, key: webcrypto.CryptoKey, signature: Uint8Array, data: Uint8Array) => {
      const [name, options] = nodeOptions(algorithm, key);
      note(data, signature, () => verifyNow(name, data, options, signature));
      return verifyByWeb(algorithm, key, signature, data);
    },
  );
  try {
    await work();
  } finally {
    replace(verifyNow, verifyByWeb);
  }
  return [...seen.values()].filter((check) => check());
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
