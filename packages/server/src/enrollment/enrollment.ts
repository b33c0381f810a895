import type { Clock } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { openCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { requiredNamespaces, ruleFor, type Policy } from '@muster/shared/policy/policy.js';
import { formatSpiffeId } from '@muster/shared/spiffe.js';
import type { Activations } from '../activation/activations.js';
import type { Credential } from '../activation/make-credential.js';
import { readTpmKey, type OfferedTpmKey, type TpmKey } from '../activation/tpm-key.js';
import type { Appraiser, EvidenceDigests, Verdict } from '../attestation/appraisal.js';
import type { Challenges, IssuedChallenge } from '../attestation/challenges.js';
import type { Certificate, CertificateAuthority } from '../ca/authority.js';
import type { Audit, AuditEntry } from '../ports.js';
import { RateLimiter } from '../middleware/rate-limit.js';
import type { ParticipantRegistry } from '../registry/participant-registry.js';
import { revokeCertificates } from '../store/certificates.js';
import { deleteUnusedRejoinTokens, markJoinTokenUsed, selectJoinToken } from '../store/join-tokens.js';
import type { Store, Transaction } from '../store/store.js';
import { issueJoinToken } from './issue-join-token.js';
import { checkJoinToken, joinTokenHash, keyHash } from './join-token.js';

/** A rejoin token lives as long as an agent may stay down, or up without enrolling anew, ms. */
const rejoinLifetimeMs = 365 * 86_400_000;

/** How often the holders of one participant's tokens may try: each try may cost an appraisal and an audit record. */
const attemptLimit = { rate: 1, burst: 20 };

/** What enrolment works with. */
export interface EnrollmentOptions {
  readonly store: Store;
  readonly ca: CertificateAuthority;
  readonly registry: Pick<ParticipantRegistry, 'enroll' | 'setTokens'>;
  readonly challenges: Pick<Challenges, 'issue' | 'answer'>;
  readonly activations: Pick<Activations, 'begin' | 'finish' | 'keep' | 'endorse'>;
  readonly appraiser: Pick<Appraiser, 'appraise'>;
  readonly audit: Audit;
  readonly policy: Policy;
  /** How long a challenge may take to be answered, ms. */
  readonly challengeTimeoutMs: number;
  /** How long a site's certificate lives, ms. */
  readonly certificateLifetimeMs: number;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** A challenge, with the credential to open when a TPM's key was offered. */
export interface EnrollmentChallenge extends IssuedChallenge {
  readonly credential?: Credential;
}

/** What answers a challenge. */
export interface EnrollmentAnswer {
  readonly joinToken: string;
  readonly challengeId: string;
  /** PKCS #10, DER. */
  readonly certificateRequest: Uint8Array;
  /** Attestation tokens, compact JWS. */
  readonly tokens: readonly string[];
  /** What the TPM found in the credential; empty when there was none. */
  readonly tpmSecret: Uint8Array;
}

/** An enrolled identity. */
export interface Enrolled {
  readonly participant: string;
  readonly certificate: Certificate;
  /** For the same participant to enrol again, with another key. */
  readonly rejoinToken: string;
}

/** Turns join tokens and evidence into certificates. */
export class Enrollment {
  readonly #options: EnrollmentOptions;
  readonly #attempts: RateLimiter;

  constructor(options: EnrollmentOptions) {
    this.#options = options;
    this.#attempts = new RateLimiter(attemptLimit, options.clock);
  }

  /**
   * Opens an enrolment for a key (SubjectPublicKeyInfo, DER), and the activation of a TPM's key where one is offered. The
   * join token is checked and stays unused.
   * Errors: JOIN_TOKEN_*, POLICY_PARTICIPANT_UNLISTED, RATE_LIMITED, TPM_AK_*, TPM_EK_UNSUPPORTED.
   */
  async challenge(
    joinToken: string,
    participant: string,
    publicKey: Uint8Array,
    offered?: OfferedTpmKey,
  ): Promise<EnrollmentChallenge> {
    const { challenges, activations, challengeTimeoutMs, logger } = this.#options;
    const { row } = await this.#check(joinToken, publicKey);
    if (row.participant !== participant) throw refusal('JOIN_TOKEN_INVALID', { participant });
    const namespaces = this.#namespaces(participant);
    const challenge = challenges.issue(participant, publicKey, namespaces, challengeTimeoutMs);
    const credential =
      offered &&
      (await this.#recorded(participant, async () =>
        activations.begin(challenge, participant, readTpmKey(offered)),
      ));
    logger.info('enrollment.challenged', { participant, namespaces });
    return { ...challenge, ...(credential !== undefined && { credential }) };
  }

  /**
   * Completes an enrolment. Errors: JOIN_TOKEN_*, CERTIFICATE_REQUEST_INVALID, CHALLENGE_*, TOKEN_REPLAYED, TPM_CREDENTIAL,
   * the reasons of the appraisal, ATTESTATION_DEFERRED with the delay after which to try again.
   */
  async enroll({
    joinToken,
    challengeId,
    certificateRequest,
    tokens,
    tpmSecret,
  }: EnrollmentAnswer): Promise<Enrolled> {
    const { challenges, activations, appraiser, logger } = this.#options;
    const publicKey = openCertificateRequest(certificateRequest);
    const { row, use } = await this.#check(joinToken, publicKey);
    const { participant } = row;
    if (use === 'repeated') return this.#repeat(participant, publicKey);

    this.#namespaces(participant);
    const nonce = challenges.answer(participant, publicKey, challengeId);
    const key = await this.#recorded(participant, async () =>
      activations.finish(participant, challengeId, tpmSecret),
    );
    const verdict = await appraiser.appraise({
      participant: { name: participant, role: 'site' },
      publicKey,
      tokens,
      nonce,
      ...(key !== undefined && { atHand: await activations.endorse(participant, key) }),
    });
    if (verdict.outcome !== 'accepted') return this.#refuse(participant, verdict);
    const proven = { publicKey, tokens: verdict.tokens, key };
    const enrolled = await this.#complete(row.hash, participant, proven);
    logger.info('enrollment.completed', { participant, not_after: enrolled.certificate.notAfter });
    return enrolled;
  }

  /** Decides on a token by its row, and records a refusal of one that exists: somebody holds what is not theirs to use. */
  async #check(joinToken: string, publicKey: Uint8Array): Promise<ReturnType<typeof checkJoinToken>> {
    const { store, clock } = this.#options;
    const row = await store.transaction((tx) => selectJoinToken(tx, joinTokenHash(joinToken)));
    if (row !== undefined) this.#attempts.take(row.participant);
    try {
      return checkJoinToken(row, publicKey, clock.now());
    } catch (error) {
      if (row !== undefined && error instanceof MusterError)
        await this.#recordRefusal(row.participant, error);
      throw error;
    }
  }

  /** Does a step whose refusal is worth a record. */
  async #recorded<T>(participant: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (error instanceof MusterError) await this.#recordRefusal(participant, error);
      throw error;
    }
  }

  #namespaces(name: string): readonly string[] {
    const rule = ruleFor(this.#options.policy, { role: 'site', name });
    if (rule === undefined) throw refusal('POLICY_PARTICIPANT_UNLISTED', { participant: name });
    return requiredNamespaces(rule);
  }

  #complete(tokenHash: string, participant: string, { publicKey, tokens, key }: Proven): Promise<Enrolled> {
    const { store, registry, activations, clock } = this.#options;
    return store.transaction(async (tx) => {
      if (!(await markJoinTokenUsed(tx, tokenHash, keyHash(publicKey), clock.now()))) {
        throw refusal('JOIN_TOKEN_USED', { participant });
      }
      await deleteUnusedRejoinTokens(tx, participant);
      await revokeCertificates(tx, { role: 'site', name: participant }, clock.now().getTime());
      await registry.enroll(tx, participant, publicKey);
      await activations.keep(tx, participant, key);
      await registry.setTokens(tx, participant, tokens, []);
      const digests = tokens.map(({ namespace, evidenceDigest }) => [namespace, evidenceDigest]);
      await this.#append(tx, participant, 'done', [], {
        evidence: Object.fromEntries(digests) as EvidenceDigests,
        ...(key !== undefined && { comment: describe(key) }),
      });
      return this.#certify(tx, participant, publicKey);
    });
  }

  /** The key has proven itself within the last minutes; its evidence is in the registry. */
  #repeat(participant: string, publicKey: Uint8Array): Promise<Enrolled> {
    return this.#options.store.transaction((tx) => this.#certify(tx, participant, publicKey));
  }

  async #certify(tx: Transaction, participant: string, publicKey: Uint8Array): Promise<Enrolled> {
    const { ca, certificateLifetimeMs, clock } = this.#options;
    const subject = { role: 'site', name: participant } as const;
    const certificate = await ca.issue(tx, subject, publicKey, certificateLifetimeMs);
    const rejoin = await issueJoinToken(tx, 'rejoin', participant, rejoinLifetimeMs, clock.now());
    return { participant, certificate, rejoinToken: rejoin.token };
  }

  async #refuse(participant: string, verdict: Exclude<Verdict, { outcome: 'accepted' }>): Promise<never> {
    const [first, ...rest] = verdict.reasons;
    if (first === undefined) throw refusal('ATTESTATION_MISSING', { participant });
    const options = verdict.outcome === 'deferred' ? { retryAfterMs: verdict.retryAfterMs } : {};
    const error = new MusterError([first, ...rest], options);
    const evidence = verdict.outcome === 'rejected' ? verdict.evidence : undefined;
    await this.#recordRefusal(participant, error, evidence);
    throw error;
  }

  async #recordRefusal(participant: string, error: MusterError, evidence?: EvidenceDigests): Promise<void> {
    const { store, logger } = this.#options;
    logger.warn('enrollment.refused', { participant, ...errorFields(error) });
    await store.transaction((tx) =>
      this.#append(tx, participant, 'refused', error.reasons, evidence && { evidence }),
    );
  }

  #append(
    tx: Transaction,
    participant: string,
    decision: 'done' | 'refused',
    reasons: MusterError['reasons'] | [],
    detail: Pick<AuditEntry, 'evidence' | 'comment'> = {},
  ): Promise<void> {
    const { audit, ca } = this.#options;
    return audit.append(tx, {
      actor: formatSpiffeId({ trustDomain: ca.trustDomain, role: 'site', name: participant }),
      action: 'participant.enroll',
      subject: participant,
      decision,
      reasons,
      ...detail,
    });
  }
}

/** What an accepted enrolment rests on. */
interface Proven {
  readonly publicKey: Uint8Array;
  readonly tokens: Extract<Verdict, { outcome: 'accepted' }>['tokens'];
  readonly key: TpmKey | undefined;
}

/** What credential activation has shown, for the record. */
function describe({ name, ekFingerprint }: TpmKey): string {
  return `TPM key ${Buffer.from(name).toString('hex')} beside endorsement key ${ekFingerprint}`;
}
