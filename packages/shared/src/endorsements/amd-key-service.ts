import { readEndorsement, type EndorsementStore } from './endorsement.js';
import { vendorService, type VendorServiceOptions } from './vendor-service.js';

/** AMD's key distribution service (VCEK Certificate and KDS Interface Specification, section 4). */
export const amdKeyServiceUrl = 'https://kdsintf.amd.com/';

/** A client of AMD's key service. */
export function amdKeyService({
  baseUrl = amdKeyServiceUrl,
  ...options
}: VendorServiceOptions): EndorsementStore {
  return vendorService(
    {
      name: 'AMD',
      urlOf: ({ path }) => new URL(path, baseUrl),
      read: ({ kind }, bytes) => readEndorsement(kind, bytes),
    },
    options,
  );
}
