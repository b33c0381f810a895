import { randomBytes, randomUUID } from 'node:crypto';
import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { nonceBytes } from '@muster/shared/tokens/binding.js';
import { toBase64 } from '../registry/rows.js';
import { insertChallenge, markAnswered, pruneChallenges, selectChallenge } from '../store/challenges.js';
import type { Store } from '../store/store.js';

/** How long a challenge is remembered after its deadline, so that a replay is told from a stranger, ms. */
const retentionMs = 3_600_000;

/** A nonce that was handed out. */
export interface IssuedChallenge {
  readonly id: string;
  /** 32 random bytes. */
  readonly nonce: Uint8Array;
  readonly namespaces: readonly string[];
  readonly deadline: Date;
}

/** The challenges of this server. They are in the store, so that none counts twice across a restart. */
export class Challenges {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Hands out a nonce that one participant must answer with one key (SubjectPublicKeyInfo, DER). */
  async issue(
    participant: string,
    publicKey: Uint8Array,
    namespaces: readonly string[],
    timeoutMs: number,
  ): Promise<IssuedChallenge> {
    const now = this.#clock.now().getTime();
    const nonce = new Uint8Array(randomBytes(nonceBytes));
    const challenge = { id: randomUUID(), nonce, namespaces, deadline: new Date(now + timeoutMs) };
    await this.#store.transaction(async (tx) => {
      await pruneChallenges(tx, now - retentionMs);
      await insertChallenge(tx, {
        id: challenge.id,
        participant,
        nonce: Buffer.from(nonce).toString('hex'),
        namespaces: JSON.stringify(namespaces),
        public_key: toBase64(publicKey),
        deadline: challenge.deadline.getTime(),
        answered_at: null,
      });
    });
    return challenge;
  }

  /**
   * Uses a challenge up; its nonce is returned once.
   * Errors: CHALLENGE_UNKNOWN, TOKEN_REPLAYED when it was answered before, CHALLENGE_EXPIRED.
   */
  async answer(participant: string, publicKey: Uint8Array, id: string): Promise<Uint8Array> {
    const now = this.#clock.now().getTime();
    const about = { participant };
    return this.#store.transaction(async (tx) => {
      const row = await selectChallenge(tx, participant, id);
      if (row === undefined || row.public_key !== toBase64(publicKey))
        throw refusal('CHALLENGE_UNKNOWN', about);
      if (!(await markAnswered(tx, id, now))) throw refusal('TOKEN_REPLAYED', about);
      if (row.deadline < now) throw refusal('CHALLENGE_EXPIRED', about);
      return new Uint8Array(Buffer.from(row.nonce, 'hex'));
    });
  }
}
