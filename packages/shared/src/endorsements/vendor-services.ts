import type { Clock } from '../clock.js';
import type { EndorsementQuery } from '../evidence/appraisal.js';
import { amdKeyService } from './amd-key-service.js';
import type { EndorsementStore } from './endorsement.js';
import { intelCollateralService } from './intel-collateral-service.js';
import { nvidiaServices } from './nvidia-services.js';

/** Addresses that replace those of the vendors' services: mirrors, caching services or stand-ins. */
export type VendorUrls = { readonly [Vendor in EndorsementQuery['vendor']]?: string | undefined };

/** Asks each vendor's service for what is the vendor's. */
export function vendorServices(clock: Clock, urls: VendorUrls = {}): EndorsementStore {
  const options = (baseUrl: string | undefined) => (baseUrl === undefined ? { clock } : { clock, baseUrl });
  const services: { readonly [Vendor in EndorsementQuery['vendor']]?: EndorsementStore } = {
    amd: amdKeyService(options(urls.amd)),
    intel: intelCollateralService(options(urls.intel)),
    nvidia: nvidiaServices(options(urls.nvidia)),
  };
  return { fetch: async (query, signal) => await services[query.vendor]?.fetch(query, signal) };
}
