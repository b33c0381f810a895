import { createHash, createPublicKey, randomBytes, type KeyObject } from 'node:crypto';
import { TokenMaker, type TokenSource } from '@muster/agent/attestation/token-maker.js';
import { composeSession } from '@muster/agent/compose-session.js';
import type { AgentConfig } from '@muster/agent/config/config.js';
import { generateKey, readCredential, type AgentKey } from '@muster/agent/enrolment/credential.js';
import type { Enrolment } from '@muster/agent/enrolment/enroller.js';
import type { Session } from '@muster/agent/session/session.js';
import type { MusterError } from '@muster/shared/errors.js';
import {
  Welcome,
  ResumeMode,
  type Hello,
  type JobPermit,
  type TokenDigests,
} from '@muster/shared/gen/muster/v1/agent.js';
import type { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import type { Policy } from '@muster/shared/policy/policy.js';
import { publicKeyDer, toPem } from '@muster/shared/pki/certificate.js';
import { formatSpiffeId, type Identity } from '@muster/shared/spiffe.js';
import { registryAudience, signAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { reportData } from '@muster/shared/tokens/binding.js';
import { signPermit } from '@muster/shared/tokens/permit.js';
import { FakeClock } from './fake-clock.js';
import { FakeJobs } from './fake-jobs.js';
import { FakeMusterServer, trustDomain, type FakeSession } from './fake-muster-server.js';
import { fakeEvidence, FakeVerifier, type FakeEvidence } from './fake-verifier.js';
import { silentLogger } from './logger.js';
import { testPolicy } from './policies.js';

/** A source of fake evidence of the namespace `x-a`. */
export function fakeSource(
  collect: TokenSource['attester']['collect'] = (data) => Promise.resolve(fakeEvidence('x-a', data)),
): TokenSource {
  return { attester: { namespace: 'x-a', collect }, lifetimeMs: 600_000 };
}

/** A configuration of site-1 for a fake server. */
export function siteConfig(server: FakeMusterServer, policy: Policy, directory = '/nowhere'): AgentConfig {
  return {
    name: 'site-1',
    server: { session: server.sessionAddress, enrollment: server.enrollmentAddress },
    trust: { ca_hash: server.caHash },
    join_token_file: `${directory}/join-token`,
    state_directory: `${directory}/state`,
    socket: `${directory}/run/agent.sock`,
    attesters: [],
    simulatedRoots: [],
    endorsements: { online: false },
    jobs: { grace: 1_000 },
    log: { level: 'error', format: 'json' },
    policy,
  };
}

/** What is different about a site. */
export interface SiteOptions {
  readonly policy?: Partial<Policy>;
  readonly source?: TokenSource;
  /** Instead of the server's CA, PEM. */
  readonly trustBundle?: string;
  /** Enrols again; fails unless a test says how. */
  readonly enrol?: () => Promise<Enrolment>;
}

/** The session of site-1 with a fake server; its certificate comes without enrolment. */
export class Site {
  readonly clock = new FakeClock(new Date());
  readonly jobs = new FakeJobs();
  readonly verifier = new FakeVerifier('x-a');
  readonly failures: MusterError[] = [];
  shutDown = false;
  session!: Session;
  readonly #server: FakeMusterServer;
  readonly #signer: AgentKey = generateKey();
  #close: () => void = () => undefined;

  private constructor(server: FakeMusterServer) {
    this.#server = server;
  }

  static async start(server: FakeMusterServer, options: SiteOptions = {}): Promise<Site> {
    const site = new Site(server);
    const { clock, jobs } = site;
    const { session, keeper } = composeSession({
      config: siteConfig(server, testPolicy(options.policy)),
      enrolment: await site.enrolment(options.trustBundle),
      followTrust: (certificates, domain) => ({ trustBundle: toPem(certificates), trustDomain: domain }),
      enrol: options.enrol ?? (() => Promise.reject(new Error('not expected to enrol'))),
      tokens: new TokenMaker([options.source ?? fakeSource()], clock, silentLogger),
      jobs,
      clock,
      random: () => 0.5,
      logger: silentLogger,
      verifiers: [site.verifier],
      onShutdown: () => (site.shutDown = true),
      onFailure: (error) => void site.failures.push(error),
    });
    site.session = session;
    site.#close = () => keeper.close();
    session.start();
    return site;
  }

  /** A certificate for site-1 and a new key. */
  async enrolment(trustBundle = this.#server.bundle): Promise<Enrolment> {
    const key = generateKey();
    const identity: Identity = { trustDomain, role: 'site', name: 'site-1' };
    const chain = [await this.#server.certify(key.spki, 'site-1')];
    return { credential: readCredential(chain, key, identity), trust: { trustBundle, trustDomain } };
  }

  /** Takes the next stream and welcomes it. */
  async open(changes: Partial<Welcome> = {}, says: FakeEvidence = {}): Promise<FakeSession> {
    const stream = await this.#server.sessions.next();
    const hello = await stream.next('hello');
    stream.send({ $case: 'welcome', value: { ...(await this.welcome(hello, says)), ...changes } });
    await stream.next('heartbeat');
    return stream;
  }

  /** What the server answers a Hello with. */
  welcome(hello: Hello, says: FakeEvidence = {}): Promise<Welcome> {
    return fakeWelcome(this.#server, hello, { now: this.clock.now(), signer: this.#signer, says });
  }

  /** A permit that the server has signed. */
  async permit(
    jobId: string,
    generation: bigint,
    sites: readonly string[],
    signer = this.#signer,
  ): Promise<JobPermit> {
    const issuedAt = this.clock.now();
    const permit = await signPermit(
      {
        jobId,
        generation: Number(generation),
        participants: sites.map((name) => ({ name, results: {} })),
        issuedAt,
        expiresAt: new Date(issuedAt.getTime() + 300_000),
      },
      {
        issuer: formatSpiffeId({ trustDomain, role: 'server', name: 'server' }),
        trustDomain,
        keyId: 'k1',
        key: signer.privateKey,
      },
    );
    return { jobId, generation, permit };
  }

  async stop(): Promise<void> {
    this.#close();
    const left = this.session.leave(1_000);
    await this.clock.advance(1_000);
    await left;
  }
}

/** A Welcome that site-1 accepts, unless the server's evidence says otherwise. */
export async function fakeWelcome(
  server: FakeMusterServer,
  hello: Hello,
  { now = new Date(), signer = generateKey(), says = {} }: WelcomeOptions = {},
): Promise<Welcome> {
  const audience = formatSpiffeId({ trustDomain, role: 'site', name: 'site-1' });
  const { key } = server.identity;
  const jwk = signer.publicKey.export({ format: 'jwk' });
  return {
    ...Welcome.fromPartial({ logId: 'log-1', protocol: 1, window: 32, mode: ResumeMode.REPLAY }),
    epoch: hello.lastEpoch + 1n,
    heartbeatInterval: toDuration(10_000),
    leaseTtl: toDuration(60_000),
    serverTime: now,
    serverAttestation: await participantTokens('server', true, { audience, nonce: hello.nonce, key, says }),
    jwks: JSON.stringify({ keys: [{ ...jwk, kid: 'k1', alg: 'ES256' }] }),
  };
}

interface WelcomeOptions {
  readonly now?: Date;
  readonly signer?: AgentKey;
  readonly says?: FakeEvidence;
}

/** How a participant's tokens are made. */
interface TokenOptions {
  readonly audience?: string;
  readonly nonce?: Uint8Array;
  readonly key?: KeyObject;
  readonly says?: FakeEvidence;
  readonly issuedAt?: Date;
}

/** A participant's token of fake evidence, as the server hands it out. */
export async function participantTokens(
  participant: string,
  server: boolean,
  options: TokenOptions = {},
): Promise<ParticipantTokens> {
  const { audience = registryAudience(trustDomain), nonce = randomBytes(32), says } = options;
  const privateKey = options.key ?? generateKey().privateKey;
  const identity: Identity = { trustDomain, role: server ? 'server' : 'site', name: participant };
  const publicKey = publicKeyDer(createPublicKey(privateKey));
  const jws = await signAttestationToken({
    evidence: fakeEvidence('x-a', reportData({ nonce, publicKey, identity }), says),
    identity,
    audience,
    nonce,
    issuedAt: options.issuedAt ?? new Date(),
    lifetimeMs: 600_000,
    privateKey,
  });
  return {
    participant,
    server,
    tokens: [{ namespace: 'x-a', jws }],
    endorsements: { certificates: [], crls: [], documents: [] },
  };
}

/** What CheckJob says about a participant's tokens. */
export function digestsOf({ participant, server, tokens }: ParticipantTokens): TokenDigests {
  const digests = tokens.map(({ jws }) => createHash('sha256').update(jws).digest());
  return { participant, server, digests };
}
