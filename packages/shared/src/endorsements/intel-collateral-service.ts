import { parseCertificate, splitCertificates } from '../evidence/x509.js';
import { readEndorsement, type EndorsementStore } from './endorsement.js';
import { vendorService, type VendorServiceOptions } from './vendor-service.js';

/** Intel's provisioning certification service (Intel PCS API, version 4). */
export const intelCollateralServiceUrl = 'https://api.trustedservices.intel.com/';

/** Where Intel itself keeps the root's revocation list; a caching service has it under its own path. */
const rootCrl = {
  path: 'sgx/certification/v4/rootcacrl',
  url: 'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der',
};

/** The headers in which the certificates of an answer's signer come: PEM, URL-encoded. */
const issuerChainHeaders = [
  'tcb-info-issuer-chain',
  'sgx-enclave-identity-issuer-chain',
  'sgx-pck-crl-issuer-chain',
];

/** A client of Intel's service, or of a caching one (PCCS) at `baseUrl`, which has the same paths. */
export function intelCollateralService({
  baseUrl = intelCollateralServiceUrl,
  ...options
}: VendorServiceOptions): EndorsementStore {
  return vendorService(
    {
      name: 'Intel',
      urlOf: ({ path }) =>
        baseUrl === intelCollateralServiceUrl && path === rootCrl.path
          ? new URL(rootCrl.url)
          : new URL(path, baseUrl),
      read: ({ kind }, bytes, headers) => {
        const answer = readEndorsement(kind, kind === 'crl' ? fromHex(bytes) : bytes);
        return answer && { ...answer, issuers: issuerChain(headers) };
      },
    },
    options,
  );
}

/** Caching services write some revocation lists in hex. */
function fromHex(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes).toString('latin1').trim();
  return /^[0-9a-fA-F]+$/.test(text) ? Uint8Array.from(Buffer.from(text, 'hex')) : bytes;
}

/** None when there is no header, or an unreadable one: the verifier then says what is missing. */
function issuerChain(headers: Headers): readonly Uint8Array[] {
  const values = issuerChainHeaders.flatMap((name) => headers.get(name) ?? []);
  try {
    return values
      .flatMap((value) => splitCertificates(Buffer.from(decodeURIComponent(value))) ?? [])
      .filter((der) => parseCertificate(der) !== undefined);
  } catch {
    return [];
  }
}
