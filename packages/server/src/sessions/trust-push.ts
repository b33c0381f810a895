import type { Clock } from '@muster/shared/clock.js';
import type { CertificateAuthority } from '../ca/authority.js';
import { isCurrentEpoch, updateParticipant } from '../store/participants.js';
import type { Store } from '../store/store.js';
import type { Outbox } from './connections.js';

/** When an agent that has not followed is told again, ms. */
const repeatMs = 60_000;

/** What the push of trust bundles works with. */
export interface TrustPushOptions {
  readonly store: Store;
  readonly ca: Pick<CertificateAuthority, 'active' | 'bundle' | 'bundleDigest'>;
  readonly outbox: Outbox;
  readonly clock: Clock;
}

interface Follower {
  /** Names the CAs that the agent trusts, hex. */
  readonly digest: string;
  /** The number of the CA that certified its session. */
  readonly authority: number;
  /** What it was told last, and when on the monotonic clock, ms. */
  readonly told?: { readonly version: string; readonly at: number };
}

/** Tells connected agents which CAs to trust, until they trust those and hold a certificate of the one that issues. */
export class TrustPush {
  readonly #options: TrustPushOptions;
  readonly #followers = new Map<string, Follower>();

  constructor(options: TrustPushOptions) {
    this.#options = options;
  }

  /** Takes note of an agent whose session has opened. One that names no bundle cannot follow and is told nothing. */
  greeted(participant: string, digest: Uint8Array, authority: number): void {
    if (digest.length === 0) this.forget(participant);
    else this.#followers.set(participant, { digest: toHex(digest), authority });
    this.#tell([participant]);
  }

  /** Records what an agent says that it trusts, in the session of an epoch. Errors: STORE_*. */
  async acknowledged(participant: string, epoch: number, digest: Uint8Array): Promise<void> {
    const trusted = toHex(digest);
    const recorded = await this.#options.store.transaction(async (tx) => {
      if (!(await isCurrentEpoch(tx, participant, epoch))) return false;
      return updateParticipant(tx, participant, { trust_bundle: trusted });
    });
    const follower = this.#followers.get(participant);
    if (recorded && follower !== undefined) {
      this.#followers.set(participant, { ...follower, digest: trusted });
    }
  }

  forget(participant: string): void {
    this.#followers.delete(participant);
  }

  /** Tells those that are behind and were not told lately. */
  push(): void {
    this.#tell([...this.#followers.keys()]);
  }

  #tell(participants: readonly string[]): void {
    const { ca, outbox, clock } = this.#options;
    const { bundle, bundleDigest, active } = ca;
    const version = `${bundleDigest} ${active.number}`;
    const value = { certificates: bundle.map((der) => Buffer.from(der)), issuerHash: active.hash };
    const now = clock.monotonic();
    for (const participant of participants) {
      const follower = this.#followers.get(participant);
      if (follower === undefined) continue;
      const { digest, authority, told } = follower;
      const follows = digest === bundleDigest && authority === active.number;
      const lately = told?.version === version && now < told.at + repeatMs;
      if (follows || lately || !outbox.send(participant, { $case: 'trustBundle', value })) continue;
      this.#followers.set(participant, { digest, authority, told: { version, at: now } });
    }
  }
}

/** How the store keeps the name of a bundle. */
export function toHex(digest: Uint8Array): string {
  return Buffer.from(digest).toString('hex');
}
