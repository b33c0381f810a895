import { CertID, OCSPRequest, Request, TBSRequest } from '@peculiar/asn1-ocsp';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier } from '@peculiar/asn1-x509';
import { readEndorsement, type EndorsementStore } from './endorsement.js';
import { vendorService, type VendorServiceOptions } from './vendor-service.js';

/** NVIDIA's services of reference integrity manifests and of certificate status. */
export const nvidiaRimServiceUrl = 'https://rim.attestation.nvidia.com/';
export const nvidiaOcspServiceUrl = 'https://ocsp.ndis.nvidia.com/';

const sha384Oid = '2.16.840.1.101.3.4.2.2';

/**
 * A client of NVIDIA's two services. A `baseUrl` stands in for both: manifests are below `v1/rim/`, as at NVIDIA, and
 * OCSP requests are posted to `ocsp`. A machine with eight GPUs needs dozens of answers at once.
 */
export function nvidiaServices({ baseUrl, ...options }: VendorServiceOptions): EndorsementStore {
  const ocspUrl = baseUrl === undefined ? nvidiaOcspServiceUrl : new URL('ocsp', baseUrl);
  return vendorService(
    {
      name: 'NVIDIA',
      urlOf: ({ kind, path }) =>
        kind === 'ocsp' ? new URL(ocspUrl) : new URL(path, baseUrl ?? nvidiaRimServiceUrl),
      requestOf: ({ kind, path }) => (kind === 'ocsp' ? ocspPost(path) : {}),
      read: ({ kind }, bytes) => readEndorsement(kind, bytes),
    },
    { burst: 64, intervalMs: 250, ...options },
  );
}

/** An OCSP request (RFC 6960, section 4.1 and appendix A.1) for a path `ocsp/<name hash>/<key hash>/<serial>`. */
function ocspPost(path: string): RequestInit {
  const [, nameHash = '', keyHash = '', serial = ''] = path.split('/');
  const reqCert = new CertID({
    hashAlgorithm: new AlgorithmIdentifier({ algorithm: sha384Oid, parameters: null }),
    issuerNameHash: new OctetString(Buffer.from(nameHash, 'hex')),
    issuerKeyHash: new OctetString(Buffer.from(keyHash, 'hex')),
    serialNumber: positive(Buffer.from(serial, 'hex')),
  });
  const request = new OCSPRequest({
    tbsRequest: new TBSRequest({ requestList: [new Request({ reqCert })] }),
  });
  return {
    method: 'POST',
    headers: { 'content-type': 'application/ocsp-request', accept: 'application/ocsp-response' },
    body: new Uint8Array(AsnConvert.serialize(request)),
  };
}

/** The content of a positive DER integer. */
function positive(bytes: Buffer): ArrayBuffer {
  const isNegative = ((bytes[0] ?? 0) & 0x80) !== 0;
  return Uint8Array.from(isNegative ? [0, ...bytes] : bytes).buffer;
}
