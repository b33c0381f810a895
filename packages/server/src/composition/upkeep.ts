import type { Timer } from '@muster/shared/clock.js';
import { errorFields } from '@muster/shared/logging/logger.js';
import type { TrustPush } from '../sessions/trust-push.js';
import { selectRevokedSerials } from '../store/certificates.js';
import type { Endpoints } from './endpoints.js';
import type { Foundation } from './foundation.js';

/** How often the store is looked at, ms: a revocation is in effect for open streams after this. */
const periodMs = 1_000;

/**
 * Keeps a running server to what the store says, whoever wrote it: the CAs of a rotation, and the certificates that were
 * revoked. Returns the way to end that.
 */
export function startUpkeep(foundation: Foundation, endpoints: Endpoints, trust: TrustPush): () => void {
  const { store, ca, certificate, clock, logger } = foundation;
  const look = async (): Promise<void> => {
    if (await ca.refresh()) {
      endpoints.followCa();
      logger.info('ca.changed', { ca_hash: ca.hash, trusted: ca.bundle.length });
    }
    if (certificate.authority !== ca.active.number) await certificate.renew();
    endpoints.liveCalls.sweep(clock, new Set(await store.transaction(selectRevokedSerials)));
    trust.push();
  };
  let [ended, timer]: [boolean, Timer | undefined] = [false, undefined];
  const arm = (): void => {
    if (!ended) timer = clock.schedule(periodMs, () => void keep());
  };
  const keep = async (): Promise<void> => {
    await look().catch((error: unknown) => logger.error('upkeep.failed', errorFields(error)));
    arm();
  };
  arm();
  return () => {
    ended = true;
    timer?.cancel();
  };
}
