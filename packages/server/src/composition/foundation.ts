import type { Clock } from '@muster/shared/clock.js';
import type { EvidenceVerifier } from '@muster/shared/evidence/appraisal.js';
import type { Logger } from '@muster/shared/logging/logger.js';
import { formatSpiffeId, type Identity } from '@muster/shared/spiffe.js';
import { Activations } from '../activation/activations.js';
import { auditLog } from '../audit/log.js';
import { openAuthority, type CertificateAuthority } from '../ca/authority.js';
import { advertisedHosts } from '../ca/credential.js';
import { certifyServer, type ServerCertificate } from '../ca/server-certificate.js';
import { openSigner } from '../ca/signer.js';
import type { ServerConfig } from '../config/config.js';
import { newObservations, type Observations } from '../metrics/observations.js';
import type { Audit, Signer } from '../ports.js';
import { ParticipantRegistry } from '../registry/participant-registry.js';
import { openSqliteStore } from '../store/sqlite.js';
import type { Store } from '../store/store.js';

/** What a server is run with beside its configuration. */
export interface Environment {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Every verifier of this release unless a test or benchmark brings its own. */
  readonly verifiers?: readonly EvidenceVerifier[];
}

/** What every part of the server stands on. */
export interface Foundation extends Environment {
  readonly config: ServerConfig;
  readonly identity: Identity & { readonly role: 'server' };
  readonly spiffeId: string;
  readonly store: Store;
  readonly ca: CertificateAuthority;
  readonly signer: Signer;
  readonly certificate: ServerCertificate;
  readonly audit: Audit;
  readonly registry: ParticipantRegistry;
  readonly activations: Activations;
  readonly observations: Observations;
}

/**
 * Opens the data directory with all that is in it; makes at the first start what is missing.
 * Errors: STORE_*, FILE_UNREADABLE, KEY_FILE_EXPOSED, CONFIG_INVALID for a trust domain that is not the data directory's.
 */
export async function openFoundation(config: ServerConfig, environment: Environment): Promise<Foundation> {
  const { clock, logger } = environment;
  const { name, trust_domain: trustDomain, data_directory: directory, policy } = config;
  const identity = { trustDomain, role: 'server', name } as const;
  const store = await openSqliteStore(directory);
  try {
    const ca = await openAuthority(store, directory, trustDomain, clock);
    const hosts = advertisedHosts(config);
    return {
      ...environment,
      config,
      identity,
      spiffeId: formatSpiffeId(identity),
      store,
      ca,
      signer: await openSigner(directory, identity),
      certificate: await certifyServer({ store, ca, name, hosts, clock, logger }),
      audit: auditLog(clock),
      registry: await ParticipantRegistry.load(store, { clock, policy }),
      activations: await Activations.load({ store, ca, clock }),
      observations: newObservations(),
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}
