import { Metadata } from '@grpc/grpc-js';
import type { DeviceKey } from '@muster/attester/attester.js';
import { sleep, type Clock } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import {
  EnrollmentServiceClient,
  type CreateChallengeRequest,
  type CreateChallengeResponse,
  type EnrollRequest,
  type EnrollResponse,
  type TpmCredential,
  type TpmKey,
} from '@muster/shared/gen/muster/v1/enrollment.js';
import { clientCredentials } from '@muster/shared/grpc/credentials.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { createCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { reasonCatalogue, type ReasonCode } from '@muster/shared/reasons.js';
import type { ReasonStatus } from '@muster/shared/reasons/entry.js';
import type { Identity } from '@muster/shared/spiffe.js';
import { registryAudience } from '@muster/shared/tokens/attestation-token.js';
import { nonceBytes } from '@muster/shared/tokens/binding.js';
import { backoffMs } from '../backoff.js';
import { requireTokens, type TokenMaker } from '../attestation/token-maker.js';
import { clientOptions } from '../session/connection.js';
import type { ServerTrust } from '../trust/server-trust.js';
import type { SiteTrust } from '../trust/site-trust.js';
import { generateKey, readCredential, type AgentKey, type Credential } from './credential.js';
import type { JoinSecret, JoinSecrets } from './join-secrets.js';
import { unary, within } from './unary.js';

/** What an agent enrols with. */
export interface EnrollerOptions {
  readonly name: string;
  /** host:port of the enrolment endpoint. */
  readonly address: string;
  readonly secrets: JoinSecrets;
  readonly tokens: TokenMaker;
  readonly trust: Pick<SiteTrust, 'establish' | 'follow'>;
  readonly clock: Clock;
  /** Random numbers in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
}

/** An enrolled agent. */
export interface Enrolment {
  readonly credential: Credential;
  readonly trust: ServerTrust;
}

const callTimeoutMs = 30_000;
/** How often the same Enroll is sent before the enrolment begins anew: its reply may have been lost. */
const enrollAttempts = 3;
/** The server waits or refuses for now; another attempt may succeed. */
const passingStatuses: ReadonlySet<ReasonStatus> = new Set([
  'UNAVAILABLE',
  'RESOURCE_EXHAUSTED',
  'DEADLINE_EXCEEDED',
]);
const staleCodes: ReadonlySet<ReasonCode> = new Set(['CHALLENGE_UNKNOWN', 'CHALLENGE_EXPIRED']);
/** Evidence that was collected a moment ago is too old or too new only where two clocks disagree. */
const clockCodes: ReadonlySet<ReasonCode> = new Set(['TOKEN_EXPIRED', 'TOKEN_NOT_YET_VALID']);
const secretCodes: ReadonlySet<ReasonCode> = new Set([
  'JOIN_TOKEN_INVALID',
  'JOIN_TOKEN_USED',
  'JOIN_TOKEN_EXPIRED',
]);

/** Whether trying the same again may help. */
export function isPassing({ code }: MusterError): boolean {
  return passingStatuses.has(reasonCatalogue[code].status);
}

/**
 * Turns a join token and fresh evidence into a certificate. The key is made here, stays in memory, and is the same for
 * all attempts, so that a lost reply strands nobody.
 */
export class Enroller {
  readonly #options: EnrollerOptions;

  constructor(options: EnrollerOptions) {
    this.#options = options;
  }

  /**
   * Tries until it succeeds, or cannot. Errors: JOIN_TOKEN_*, SERVER_IDENTITY_MISMATCH, ATTESTATION_GENERATION_FAILED,
   * the reasons of a refused appraisal, CERTIFICATE_UNUSABLE, TRUST_BUNDLE_INVALID; the signal's reason when aborted.
   */
  async enrol(signal: AbortSignal): Promise<Enrolment> {
    const { clock, random, secrets, logger } = this.#options;
    const key = generateKey();
    const queue = [...secrets.read()];
    for (let failures = 0; ; failures += 1) {
      signal.throwIfAborted();
      const [secret] = queue;
      if (secret === undefined) throw refusal('JOIN_TOKEN_INVALID');
      try {
        return await this.#attempt(secret, key);
      } catch (error) {
        if (!(error instanceof MusterError)) throw error;
        if (secretCodes.has(error.code) && queue.length > 1) {
          queue.shift();
          continue;
        }
        const mayPass = isPassing(error) || staleCodes.has(error.code) || clockCodes.has(error.code);
        if (!mayPass) throw error;
        const delayMs = backoffMs(failures, random(), error.retryAfterMs);
        logger.warn('session.retry', {
          step: 'enrolment',
          delay_ms: Math.round(delayMs),
          ...errorFields(error),
        });
        await sleep(clock, delayMs, signal);
      }
    }
  }

  async #attempt(secret: JoinSecret, key: AgentKey): Promise<Enrolment> {
    const { name, address, secrets, tokens, logger } = this.#options;
    const trust = await this.#options.trust.establish();
    const identity: Identity = { trustDomain: trust.trustDomain, role: 'site', name };
    const client = new EnrollmentServiceClient(address, clientCredentials(trust), clientOptions);
    try {
      const offered = await tokens.keyProof?.describe();
      const asked: CreateChallengeRequest = {
        joinToken: secret.token,
        participant: name,
        publicKey: Buffer.from(key.spki),
        tpmKey: offered && tpmKeyMessage(offered),
      };
      const answer = await unary<CreateChallengeResponse>((callback) =>
        client.createChallenge(asked, new Metadata(), within(callTimeoutMs), callback),
      );
      const { challenge, audience } = readChallenge(answer, trust);
      const subject = { identity, privateKey: key.privateKey, publicKey: key.spki };
      const made = requireTokens(await tokens.make({ ...challenge, audience }, subject));
      const tpmSecret = await this.#open(answer.tpmCredential);
      const request = createCertificateRequest(key.privateKey, key.publicKey);
      const response = await this.#enroll(client, {
        challengeId: challenge.id,
        joinToken: secret.token,
        certificateRequest: Buffer.from(request),
        tokens: made,
        tpmSecret,
      });
      const credential = readCredential(response.certificateChain, key, identity);
      if (response.rejoinToken !== '') secrets.store(response.rejoinToken);
      logger.info('enrollment.completed', {
        participant: name,
        rejoin: secret.rejoin,
        expires_at: credential.notAfter.toISOString(),
      });
      return { credential, trust: this.#follow(response, trust) };
    } finally {
      client.close();
    }
  }

  /** What the TPM finds in a credential; nothing where there is none, as from a server of an older release. */
  async #open(credential: TpmCredential | undefined): Promise<Buffer> {
    const { keyProof } = this.#options.tokens;
    if (credential === undefined || keyProof === undefined) return Buffer.alloc(0);
    const { credentialBlob: blob, encryptedSecret } = credential;
    return Buffer.from(await keyProof.open({ blob, encryptedSecret }));
  }

  /** A server of an older release names no CAs. */
  #follow({ trustBundle }: EnrollResponse, trust: ServerTrust): ServerTrust {
    return trustBundle.length === 0 ? trust : this.#options.trust.follow(trustBundle, trust.trustDomain);
  }

  async #enroll(client: EnrollmentServiceClient, request: EnrollRequest): Promise<EnrollResponse> {
    const { clock, random } = this.#options;
    for (let failures = 0; ; failures += 1) {
      try {
        return await unary((callback) =>
          client.enroll(request, new Metadata(), within(callTimeoutMs), callback),
        );
      } catch (error) {
        const lost = error instanceof MusterError && isPassing(error);
        if (!lost || failures + 1 >= enrollAttempts) throw error;
        await sleep(clock, backoffMs(failures, random(), error.retryAfterMs));
      }
    }
  }
}

function tpmKeyMessage({ attestationKey, endorsementCertificates }: DeviceKey): TpmKey {
  return {
    attestationKey: Buffer.from(attestationKey),
    endorsementCertificates: endorsementCertificates.map((der) => Buffer.from(der)),
  };
}

function readChallenge(
  { challenge, trustDomain, audience }: CreateChallengeResponse,
  trust: ServerTrust,
): { readonly challenge: NonNullable<typeof challenge>; readonly audience: string } {
  if (trustDomain !== trust.trustDomain || audience !== registryAudience(trustDomain)) {
    const message = 'The server speaks for another trust domain.';
    throw refusal('SERVER_IDENTITY_MISMATCH', { message });
  }
  if (challenge === undefined || challenge.nonce.length !== nonceBytes) throw refusal('SESSION_PROTOCOL');
  return { challenge, audience };
}
