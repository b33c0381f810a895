import { webcrypto, type KeyObject } from 'node:crypto';
import { refusal } from '../errors.js';
import { x509 } from './x509.js';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Makes a PKCS #10 request (RFC 2986), DER, for an ECDSA P-256 key. The CA takes the key from it and nothing else. */
export async function createCertificateRequest(
  privateKey: KeyObject,
  publicKey: KeyObject,
): Promise<Uint8Array> {
  const importKey = (
    key: KeyObject,
    format: 'pkcs8' | 'spki',
    usage: 'sign' | 'verify',
  ): Promise<CryptoKey> =>
    webcrypto.subtle.importKey(
      format,
      key.export({ format: 'der', type: format as never }),
      algorithm,
      true,
      [usage],
    );
  const keys = {
    privateKey: await importKey(privateKey, 'pkcs8', 'sign'),
    publicKey: await importKey(publicKey, 'spki', 'verify'),
  };
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm: algorithm });
  return new Uint8Array(request.rawData);
}

/**
 * Reads a PKCS #10 request, checks that its key signed it, and returns that key as SubjectPublicKeyInfo, DER.
 * Errors: CERTIFICATE_REQUEST_INVALID.
 */
export async function openCertificateRequest(der: Uint8Array): Promise<Uint8Array> {
  try {
    const request = new x509.Pkcs10CertificateRequest(Uint8Array.from(der));
    const { algorithm: key } = request.publicKey as { algorithm: Partial<EcKeyAlgorithm> };
    if (key.name === 'ECDSA' && key.namedCurve === 'P-256' && (await request.verify())) {
      return new Uint8Array(request.publicKey.rawData);
    }
  } catch (cause) {
    throw refusal('CERTIFICATE_REQUEST_INVALID', {}, cause);
  }
  throw refusal('CERTIFICATE_REQUEST_INVALID');
}

type CryptoKey = webcrypto.CryptoKey;
type EcKeyAlgorithm = webcrypto.EcKeyAlgorithm;
