import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type { Endorsements } from '@muster/shared/evidence/appraisal.js';
import type { CertificateAuthority, KeyCertificate } from '../ca/authority.js';
import type { IssuedChallenge } from '../attestation/challenges.js';
import { atCommit } from '../store/after-commit.js';
import type { TpmKeyRow } from '../store/schema.js';
import type { Store, Transaction } from '../store/store.js';
import { deleteTpmKey, replaceTpmKey, selectTpmKeys } from '../store/tpm-keys.js';
import { makeCredential, type Credential } from './make-credential.js';
import { readTpmKey, type TpmKey } from './tpm-key.js';

const secretBytes = 32;
/** How many credentials of a participant are waited for; the oldest makes room, and its secret proves nothing. */
const maxPerParticipant = 8;
/** More than the longest life of a token, so that at half of it a certificate still outlives every one. */
const certificateLifetimeMs = 48 * 3_600_000;

/** What activations work with. */
export interface ActivationsOptions {
  readonly store: Store;
  readonly ca: Pick<CertificateAuthority, 'active' | 'certifyKey'>;
  readonly clock: Clock;
}

/** A credential that the answer to a challenge must open. */
interface Pending {
  readonly challenge: string;
  readonly key: TpmKey;
  readonly secretDigest: Buffer;
}

interface Proven {
  readonly key: TpmKey;
  certificate?: KeyCertificate;
}

/**
 * Proves by credential activation that attestation keys are in TPMs with certain endorsement keys, and vouches for that
 * with certificates of the federation's CA. Whether such a TPM is a genuine one is not decided here.
 */
export class Activations {
  readonly #options: ActivationsOptions;
  readonly #proven = new Map<string, Proven>();
  readonly #pending = new Map<string, readonly Pending[]>();

  private constructor(options: ActivationsOptions) {
    this.#options = options;
  }

  /** Loads what was proven before. A key that this release would not take is not proven any more. */
  static async load(options: ActivationsOptions): Promise<Activations> {
    const activations = new Activations(options);
    for (const row of await options.store.transaction(selectTpmKeys)) {
      const key = readRow(row);
      if (key !== undefined) activations.#proven.set(row.participant, { key });
    }
    return activations;
  }

  /**
   * Makes the credential that the answer to a challenge must open; only the digest of the secret is kept.
   * Errors: TPM_EK_UNSUPPORTED.
   */
  begin({ id: challenge }: Pick<IssuedChallenge, 'id'>, participant: string, key: TpmKey): Credential {
    const secret = randomBytes(secretBytes);
    const credential = makeCredential(key.endorsementKey, key.name, secret);
    const pending = [...this.#pendingOf(participant), { challenge, key, secretDigest: digest(secret) }];
    this.#pending.set(participant, pending.slice(-maxPerParticipant));
    return credential;
  }

  /**
   * The key that was proven with the answer to a challenge; undefined when none was offered with it. Asked after the
   * challenge was used up, and once: its time and its limits are those of the challenge. Errors: TPM_CREDENTIAL.
   */
  finish(participant: string, challengeId: string, secret: Uint8Array): TpmKey | undefined {
    const pending = this.#pendingOf(participant).find(({ challenge }) => challenge === challengeId);
    if (pending === undefined) return undefined;
    const others = this.#pendingOf(participant).filter((other) => other !== pending);
    this.#pending.set(participant, others);
    if (!timingSafeEqual(digest(secret), pending.secretDigest)) throw refusal('TPM_CREDENTIAL');
    return pending.key;
  }

  /** Records the key that a participant has proven, instead of an earlier one; undefined for none. */
  async keep(tx: Transaction, participant: string, key: TpmKey | undefined): Promise<void> {
    if (key === undefined) await deleteTpmKey(tx, participant);
    else await replaceTpmKey(tx, toRow(participant, key));
    atCommit(tx, () => {
      this.forget(participant);
      if (key !== undefined) this.#proven.set(participant, { key });
    });
  }

  /** Forgets a participant that was removed. */
  forget(participant: string): void {
    this.#proven.delete(participant);
    this.#pending.delete(participant);
  }

  /**
   * What verifiers need of the key that a participant has proven: its certificate, and those of the endorsement key.
   * Undefined when it has proven none.
   */
  async endorsementsOf(participant: string): Promise<Endorsements | undefined> {
    const { clock, ca } = this.#options;
    const proven = this.#proven.get(participant);
    if (proven === undefined) return undefined;
    const { certificate } = proven;
    const isFresh =
      certificate?.authority === ca.active.number &&
      certificate.notAfter.getTime() - clock.now().getTime() > certificateLifetimeMs / 2;
    proven.certificate = isFresh ? certificate : await this.#certify(participant, proven.key);
    return endorsements(proven.key, proven.certificate);
  }

  /** The same of a key that was proven just now. */
  async endorse(participant: string, key: TpmKey): Promise<Endorsements> {
    return endorsements(key, await this.#certify(participant, key));
  }

  #pendingOf(participant: string): readonly Pending[] {
    return this.#pending.get(participant) ?? [];
  }

  #certify(participant: string, { publicKey, ekFingerprint }: TpmKey): Promise<KeyCertificate> {
    return this.#options.ca.certifyKey({ participant, publicKey, ekFingerprint }, certificateLifetimeMs);
  }
}

function endorsements({ offered }: TpmKey, { der }: KeyCertificate): Endorsements {
  return { certificates: [der, ...offered.endorsementCertificates], crls: [] };
}

function digest(secret: Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest();
}

function toRow(participant: string, { offered }: TpmKey): TpmKeyRow {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    participant,
    attestation_key: base64(offered.attestationKey),
    endorsement_certificates: JSON.stringify(offered.endorsementCertificates.map(base64)),
  };
}

function readRow({ attestation_key, endorsement_certificates }: TpmKeyRow): TpmKey | undefined {
  const bytes = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, 'base64'));
  try {
    return readTpmKey({
      attestationKey: bytes(attestation_key),
      endorsementCertificates: (JSON.parse(endorsement_certificates) as string[]).map(bytes),
    });
  } catch (error) {
    if (error instanceof MusterError) return undefined;
    throw error;
  }
}
