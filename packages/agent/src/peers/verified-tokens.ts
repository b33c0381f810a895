import { createHash } from 'node:crypto';
import type { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';

const maxEntries = 4_096;

/** Names exactly these tokens of exactly this participant. */
export function tokensKey(
  { name, server }: { readonly name: string; readonly server: boolean },
  digests: readonly Uint8Array[],
): string {
  const sorted = digests.map((digest) => Buffer.from(digest).toString('hex')).toSorted();
  return [server ? 'server' : 'site', name, ...sorted].join(' ');
}

/** SHA-256 of each token's compact JWS, as TokenDigests has them. */
export function tokenDigests(tokens: ParticipantTokens | undefined): Uint8Array[] {
  return (tokens?.tokens ?? []).map(({ jws }) => createHash('sha256').update(jws).digest());
}

/** The tokens that this site has found to prove a participant, each until the first of them expires. */
export class VerifiedTokens {
  readonly #until = new Map<string, Date>();

  /** Until when the tokens prove the participant; undefined when they were not verified or have expired. */
  until(key: string, now: Date): Date | undefined {
    const until = this.#until.get(key);
    return until !== undefined && now < until ? until : undefined;
  }

  add(key: string, until: Date): void {
    this.#until.delete(key);
    this.#until.set(key, until);
    const [oldest] = this.#until.keys();
    if (oldest !== undefined && this.#until.size > maxEntries) this.#until.delete(oldest);
  }
}
