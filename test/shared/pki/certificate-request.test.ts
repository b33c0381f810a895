import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import { createCertificateRequest, openCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import fc from 'fast-check';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

describe('certificate requests', () => {
  it('yield the key that signed them', async () => {
    const der = await createCertificateRequest(privateKey, publicKey);
    expect(await openCertificateRequest(der)).toEqual(publicKeyDer(publicKey));
  });

  it('are refused when another key signed them', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const der = await createCertificateRequest(other.privateKey, publicKey);
    await expect(openCertificateRequest(der)).rejects.toMatchObject({ code: 'CERTIFICATE_REQUEST_INVALID' });
  });

  it('are refused with any byte changed, or as garbage', async () => {
    const der = await createCertificateRequest(privateKey, publicKey);
    await fc.assert(
      fc.asyncProperty(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const mutated = Uint8Array.from(der);
        mutated[at] = (mutated[at] ?? 0) ^ flip;
        await expect(openCertificateRequest(mutated)).rejects.toMatchObject({
          code: 'CERTIFICATE_REQUEST_INVALID',
        });
      }),
      { numRuns: 60 },
    );
    await expect(openCertificateRequest(new Uint8Array(7))).rejects.toMatchObject({
      code: 'CERTIFICATE_REQUEST_INVALID',
    });
  });
});
