import { randomBytes, randomUUID } from 'node:crypto';
import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import { nonceBytes } from '@muster/shared/tokens/binding.js';

/** How long a challenge is remembered after its deadline, so that a replay is told from a stranger, ms. */
const retentionMs = 3_600_000;
/** How many challenges of a participant are remembered; the oldest makes room, and its answer is refused. */
const maxPerParticipant = 8;

/** A nonce that was handed out. */
export interface IssuedChallenge {
  readonly id: string;
  /** 32 random bytes. */
  readonly nonce: Uint8Array;
  readonly namespaces: readonly string[];
  readonly deadline: Date;
}

interface Remembered extends IssuedChallenge {
  readonly publicKey: Uint8Array;
  answered: boolean;
}

/**
 * The challenges of this process. An answer counts only while its challenge is remembered, and once; a restart forgets
 * them all, so that no answer to an earlier process counts.
 */
export class Challenges {
  readonly #clock: Clock;
  readonly #challenges = new Map<string, readonly Remembered[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Hands out a nonce that one participant must answer with one key (SubjectPublicKeyInfo, DER). */
  issue(
    participant: string,
    publicKey: Uint8Array,
    namespaces: readonly string[],
    timeoutMs: number,
  ): IssuedChallenge {
    const now = this.#clock.now().getTime();
    const challenge: Remembered = {
      id: randomUUID(),
      nonce: new Uint8Array(randomBytes(nonceBytes)),
      namespaces,
      deadline: new Date(now + timeoutMs),
      publicKey,
      answered: false,
    };
    const earlier = this.#of(participant).filter(({ deadline }) => deadline.getTime() + retentionMs > now);
    this.#challenges.set(participant, [...earlier, challenge].slice(-maxPerParticipant));
    return challenge;
  }

  /**
   * Uses a challenge up; its nonce is returned once.
   * Errors: CHALLENGE_UNKNOWN, TOKEN_REPLAYED when it was answered before, CHALLENGE_EXPIRED.
   */
  answer(participant: string, publicKey: Uint8Array, id: string): Uint8Array {
    const about = { participant };
    const challenge = this.#of(participant).find((candidate) => candidate.id === id);
    if (challenge === undefined || !Buffer.from(publicKey).equals(challenge.publicKey))
      throw refusal('CHALLENGE_UNKNOWN', about);
    if (challenge.answered) throw refusal('TOKEN_REPLAYED', about);
    challenge.answered = true;
    if (challenge.deadline < this.#clock.now()) throw refusal('CHALLENGE_EXPIRED', about);
    return challenge.nonce;
  }

  /** Forgets the challenges of a participant that is gone. */
  forget(participant: string): void {
    this.#challenges.delete(participant);
  }

  #of(participant: string): readonly Remembered[] {
    return this.#challenges.get(participant) ?? [];
  }
}
