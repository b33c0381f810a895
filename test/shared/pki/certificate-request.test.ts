import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { MusterError } from '@muster/shared/errors.js';
import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import { createCertificateRequest, openCertificateRequest } from '@muster/shared/pki/certificate-request.js';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

function codeOf(der: Uint8Array): string {
  try {
    openCertificateRequest(der);
  } catch (error) {
    if (error instanceof MusterError) return error.code;
  }
  return 'accepted';
}

describe('certificate requests', () => {
  it('yield the key that signed them', async () => {
    const der = createCertificateRequest(privateKey, publicKey);
    expect(openCertificateRequest(der)).toEqual(publicKeyDer(publicKey));
  });

  it('are refused when another key signed them', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const der = createCertificateRequest(other.privateKey, publicKey);
    expect(codeOf(der)).toBe('CERTIFICATE_REQUEST_INVALID');
  });

  it('are refused with any byte changed, or as garbage', async () => {
    const der = createCertificateRequest(privateKey, publicKey);
    for (let at = 0; at < der.length; at += 1) {
      for (const flip of [0x01, 0x04, 0x80]) {
        const mutated = Uint8Array.from(der);
        mutated[at] = (mutated[at] ?? 0) ^ flip;
        expect(codeOf(mutated)).toBe('CERTIFICATE_REQUEST_INVALID');
      }
    }
    expect(codeOf(new Uint8Array(7))).toBe('CERTIFICATE_REQUEST_INVALID');
  });
});
