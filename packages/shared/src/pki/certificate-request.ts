import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { Attributes, CertificationRequest, CertificationRequestInfo } from '@peculiar/asn1-csr';
import { id_ecdsaWithSHA256 } from '@peculiar/asn1-ecc';
import { AsnConvert } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier, SubjectPublicKeyInfo } from '@peculiar/asn1-x509';
import { refusal } from '../errors.js';
import { publicKeyDer } from './certificate.js';

/** Makes a PKCS #10 request (RFC 2986), DER, for an ECDSA P-256 key. The CA takes the key from it and nothing else. */
export function createCertificateRequest(privateKey: KeyObject, publicKey: KeyObject): Uint8Array {
  const info = new CertificationRequestInfo({
    subjectPKInfo: AsnConvert.parse(publicKeyDer(publicKey), SubjectPublicKeyInfo),
    attributes: new Attributes(),
  });
  const signature = sign('sha256', Buffer.from(AsnConvert.serialize(info)), privateKey);
  const request = new CertificationRequest({
    certificationRequestInfo: info,
    signatureAlgorithm: new AlgorithmIdentifier({ algorithm: id_ecdsaWithSHA256 }),
    signature: Uint8Array.from(signature).buffer,
  });
  return new Uint8Array(AsnConvert.serialize(request));
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
