import { X509Certificate } from 'node:crypto';
import { Metadata, type ChannelCredentials } from '@grpc/grpc-js';
import type { Clock, Timer } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import {
  AgentServiceClient,
  type RenewCertificateResponse,
  type TrustBundle,
} from '@muster/shared/gen/muster/v1/agent.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { createCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { publicKeyHash } from '@muster/shared/pki/certificate.js';
import { readTrustBundle, trustBundleDigest } from '@muster/shared/pki/trust-bundle.js';
import { backoffMs } from '../backoff.js';
import { clientOptions } from '../session/connection.js';
import type { SiteTrust } from '../trust/site-trust.js';
import { channelCredentials, isIssuedBy, readCredential, type Credential } from './credential.js';
import { isPassing, type Enrolment } from './enroller.js';
import { unary, within } from './unary.js';

/** What a certificate is kept fresh with. */
export interface CertificateKeeperOptions {
  readonly enrolment: Enrolment;
  /** host:port of the session endpoint. */
  readonly address: string;
  readonly enrol: () => Promise<Enrolment>;
  readonly followTrust: SiteTrust['follow'];
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
/** Within this time a new CA is asked for a certificate, ms: all sites learn of it at once. */
const moveMs = 30_000;

/** Holds the agent's certificate: renews it at half its life, and enrols again when it is not accepted any more. */
export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  #enrolment: Enrolment;
  #timer: Timer | undefined;
  #failures = 0;
  #enrolling: Promise<void> | undefined;
  #renewing: Promise<void> | undefined;
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

  /**
   * Why a connection failed. A server that does not accept the certificate yet breaks it without a word: one that is of
   * the future was issued while a clock was ahead, and is CERTIFICATE_NOT_YET_VALID.
   */
  explain(error: MusterError): MusterError {
    const future = this.credential.notBefore > this.#options.clock.now();
    if (!future || error.code !== 'SERVER_UNREACHABLE') return error;
    return refusal('CERTIFICATE_NOT_YET_VALID', {}, error);
  }

  /** The certificates of the CAs that are trusted, DER. */
  get trustBundle(): readonly Uint8Array[] {
    const certificates = this.#enrolment.trust.trustBundle.split(/(?=-----BEGIN)/);
    return certificates.map((pem) => new X509Certificate(pem).raw);
  }

  /** Names the CAs that are trusted: see trustBundleDigest. */
  get trustDigest(): Buffer {
    return Buffer.from(trustBundleDigest(this.trustBundle), 'hex');
  }

  /**
   * Trusts exactly these CAs from now on, and moves to the one that issues now. Connections that are open stay.
   * Errors: TRUST_BUNDLE_INVALID, also when the one that issues is not among them.
   */
  follow({ certificates, issuerHash }: TrustBundle): void {
    const { credential, trust } = this.#enrolment;
    const { followTrust, random } = this.#options;
    const roots = readTrustBundle(certificates, trust.trustDomain);
    const issuer = roots.find((root) => publicKeyHash(root) === issuerHash);
    if (issuer === undefined) throw refusal('TRUST_BUNDLE_INVALID');
    this.#enrolment = { credential, trust: followTrust(certificates, trust.trustDomain) };
    if (!isIssuedBy(credential, issuer)) this.#schedule(moveMs * random());
  }

  /**
   * Gets a fresh certificate for the same key. Callers at the same time share one renewal. A reply that is lost does no
   * harm: the server accepts the certificate that is held until a later one is used.
   * Errors: those of AgentService.RenewCertificate; CERTIFICATE_UNUSABLE, TRUST_BUNDLE_INVALID.
   */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    const { credential } = this.#enrolment;
    const { key, identity } = credential;
    const request = createCertificateRequest(key.privateKey, key.publicKey);
    const { address, followTrust } = this.#options;
    const client = new AgentServiceClient(address, this.channelCredentials(), clientOptions);
    try {
      const { certificateChain, trustBundle } = await unary<RenewCertificateResponse>((callback) =>
        client.renewCertificate(
          { certificateRequest: Buffer.from(request) },
          new Metadata(),
          within(callTimeoutMs),
          callback,
        ),
      );
      const renewed = readCredential(certificateChain, key, identity);
      const { trust } = this.#enrolment;
      const followed = trustBundle.length === 0 ? trust : followTrust(trustBundle, trust.trustDomain);
      this.#adopt({ trust: followed, credential: renewed });
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
