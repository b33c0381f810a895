import { createPublicKey, verify, webcrypto, type KeyObject } from 'node:crypto';
import { CertificationRequest } from '@peculiar/asn1-csr';
import { id_ecdsaWithSHA256 } from '@peculiar/asn1-ecc';
import { AsnConvert } from '@peculiar/asn1-schema';
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
 * Reads a PKCS #10 request in its one DER form, checks that its ECDSA P-256 key signed it with SHA-256, and returns that
 * key as SubjectPublicKeyInfo, DER. Errors: CERTIFICATE_REQUEST_INVALID.
 */
export function openCertificateRequest(der: Uint8Array): Uint8Array {
  try {
    const request = AsnConvert.parse(Uint8Array.from(der), CertificationRequest);
    const { certificationRequestInfo: info, signatureAlgorithm, signature } = request;
    const spki = new Uint8Array(AsnConvert.serialize(info.subjectPKInfo));
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    const isExact = Buffer.from(AsnConvert.serialize(request)).equals(der);
    const isP256 = key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
    const isSha256 = signatureAlgorithm.algorithm === id_ecdsaWithSHA256;
    const signed = Buffer.from(AsnConvert.serialize(info));
    if (isExact && isP256 && isSha256 && verify('sha256', signed, key, Buffer.from(signature))) return spki;
  } catch (cause) {
    throw refusal('CERTIFICATE_REQUEST_INVALID', {}, cause);
  }
  throw refusal('CERTIFICATE_REQUEST_INVALID');
}

type CryptoKey = webcrypto.CryptoKey;
