import { join } from 'node:path';
import { cached, type EndorsementCache } from '@muster/shared/endorsements/cache.js';
import { diskShelf } from '@muster/shared/endorsements/disk-shelf.js';
import { jwksCache, type JwksCache } from '@muster/shared/endorsements/jwks-cache.js';
import { offlineDirectory } from '@muster/shared/endorsements/offline-directory.js';
import { recent } from '@muster/shared/endorsements/recent.js';
import { endorsementSource, type EndorsementSource } from '@muster/shared/endorsements/resolve.js';
import { vendorServices } from '@muster/shared/endorsements/vendor-services.js';
import { errorFields } from '@muster/shared/logging/logger.js';
import type { Foundation } from './foundation.js';

/** Below the data directory: what the vendors' services answered, for the next start and for export. */
const shelfName = 'endorsements';

/** Where a server's verifiers get what they need beside the evidence. */
export interface EndorsementParts {
  readonly source: EndorsementSource;
  /** Absent where no service may be asked. */
  readonly online?: { readonly cache: EndorsementCache; readonly keys: JwksCache };
}

/** Composes the offline directory, which is asked first, and the services behind their caches. */
export function composeEndorsements({ config, clock, logger, observations }: Foundation): EndorsementParts {
  const { offline_directory, online, amd_url, intel_url, nvidia_url } = config.endorsements;
  const directories =
    offline_directory === undefined ? [] : [recent(offlineDirectory(offline_directory), { clock })];
  if (!online) return { source: endorsementSource(directories) };
  const shelf = diskShelf(join(config.data_directory, shelfName), {
    clock,
    onError: (error) => logger.warn('endorsements.shelf_failed', errorFields(error)),
  });
  const services = vendorServices(clock, { amd: amd_url, intel: intel_url, nvidia: nvidia_url });
  const cache = cached(services, {
    clock,
    shelf,
    observe: (vendor, outcome) => observations.endorsementQueries.count({ vendor, outcome }),
  });
  const keys = jwksCache({
    clock,
    observe: (outcome) => observations.endorsementQueries.count({ vendor: 'attestation-service', outcome }),
  });
  return { source: endorsementSource([...directories, cache]), online: { cache, keys } };
}
