import { Metadata, type ChannelCredentials } from '@grpc/grpc-js';
import type { Clock, Timer } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { AgentServiceClient, type RenewCertificateResponse } from '@muster/shared/gen/muster/v1/agent.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { createCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { backoffMs } from '../backoff.js';
import { clientOptions } from '../session/connection.js';
import { channelCredentials, readCredential, type Credential } from './credential.js';
import { isPassing, type Enrolment } from './enroller.js';
import { unary, within } from './unary.js';

/** What a certificate is kept fresh with. */
export interface CertificateKeeperOptions {
  readonly enrolment: Enrolment;
  /** host:port of the session endpoint. */
  readonly address: string;
  readonly enrol: () => Promise<Enrolment>;
  /** The certificate is a new one. */
  readonly onChange: () => void;
  /** No certificate can be had any more. */
  readonly onFailure: (error: unknown) => void;
  readonly clock: Clock;
  /** Random numbers in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
}

const callTimeoutMs = 30_000;

/** Holds the agent's certificate: renews it at half its life, and enrols again when it is not accepted any more. */
export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  #enrolment: Enrolment;
  #timer: Timer | undefined;
  #failures = 0;
  #enrolling: Promise<void> | undefined;
  #closed = false;

  constructor(options: CertificateKeeperOptions) {
    this.#options = options;
    this.#enrolment = options.enrolment;
    this.#scheduleRenewal();
  }

  get credential(): Credential {
    return this.#enrolment.credential;
  }

  /** The credentials of the next connection. Errors: CERTIFICATE_EXPIRED, because TLS itself would refuse it unexplained. */
  channelCredentials(): ChannelCredentials {
    if (this.credential.notAfter <= this.#options.clock.now()) throw refusal('CERTIFICATE_EXPIRED');
    return channelCredentials(this.#enrolment.trust, this.#enrolment.credential);
  }

  /** Gets a fresh certificate for the same key. Errors: those of AgentService.RenewCertificate; CERTIFICATE_UNUSABLE. */
  async renew(): Promise<void> {
    const { credential, trust } = this.#enrolment;
    const { key, identity } = credential;
    const request = await createCertificateRequest(key.privateKey, key.publicKey);
    const { address } = this.#options;
    const client = new AgentServiceClient(address, this.channelCredentials(), clientOptions);
    try {
      const { certificateChain } = await unary<RenewCertificateResponse>((callback) =>
        client.renewCertificate(
          { certificateRequest: Buffer.from(request) },
          new Metadata(),
          within(callTimeoutMs),
          callback,
        ),
      );
      this.#adopt({ trust, credential: readCredential(certificateChain, key, identity) });
    } finally {
      client.close();
    }
  }

  /** Enrols again, with a new key. Callers at the same time share one enrolment. */
  enrolAgain(): Promise<void> {
    this.#enrolling ??= this.#options
      .enrol()
      .then((enrolment) => this.#adopt(enrolment))
      .finally(() => (this.#enrolling = undefined));
    return this.#enrolling;
  }

  /** Ends renewal. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #adopt(enrolment: Enrolment): void {
    this.#enrolment = enrolment;
    this.#failures = 0;
    const { notAfter } = enrolment.credential;
    this.#options.logger.info('certificate.renewed', { expires_at: notAfter.toISOString() });
    this.#scheduleRenewal();
    this.#options.onChange();
  }

  #scheduleRenewal(): void {
    const { clock, random } = this.#options;
    const lifeMs = this.credential.notAfter.getTime() - clock.now().getTime();
    this.#schedule((lifeMs / 2) * (0.9 + 0.2 * random()));
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel();
    if (this.#closed) return;
    this.#timer = this.#options.clock.schedule(Math.max(0, delayMs), () => void this.#keepFresh());
  }

  async #keepFresh(): Promise<void> {
    const { clock, random, logger, onFailure } = this.#options;
    try {
      await this.renew();
    } catch (error) {
      logger.warn('certificate.renewal_failed', errorFields(error));
      const expired = this.credential.notAfter <= clock.now();
      if (!expired && error instanceof MusterError && isPassing(error)) {
        this.#schedule(backoffMs(this.#failures, random(), error.retryAfterMs));
        this.#failures += 1;
      } else {
        await this.enrolAgain().catch(onFailure);
      }
    }
  }
}
