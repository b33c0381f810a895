import {
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import {
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { issueCertificate, issueRoot, type Issuer } from '@muster/server/ca/issue.js';
import {
  AgentServiceService,
  type AgentServiceServer,
  type GetTokensRequest,
  type RenewCertificateRequest,
  type RenewCertificateResponse,
  type SessionRequest,
  type SessionResponse,
} from '@muster/shared/gen/muster/v1/agent.js';
import type { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';
import {
  EnrollmentServiceService,
  type CreateChallengeRequest,
  type CreateChallengeResponse,
  type EnrollmentServiceServer,
  type EnrollRequest,
  type EnrollResponse,
} from '@muster/shared/gen/muster/v1/enrollment.js';
import { toStatus } from '@muster/shared/grpc/status.js';
import { openCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { publicKeyDer, publicKeyHash, toPem } from '@muster/shared/pki/certificate.js';
import { x509 } from '@muster/shared/pki/x509.js';
import type { Role } from '@muster/shared/spiffe.js';
import { registryAudience } from '@muster/shared/tokens/attestation-token.js';
import { Mailbox } from './mailbox.js';

type Upstream = NonNullable<SessionRequest['message']>;
type Downstream = NonNullable<SessionResponse['message']>;
type Values = { readonly [Message in Upstream as Message['$case']]: Message['value'] };

/** The trust domain of the fake server. */
export const trustDomain = 'hospitals.example';

/** One session stream, as the server sees it. */
export class FakeSession {
  readonly inbox = new Mailbox<Upstream>();
  /** Whether each heartbeat is acknowledged at once, and what that says of the lease. */
  heartbeats: 'renew' | 'refuse' | 'ignore' = 'renew';
  ended = false;
  readonly #call: ServerDuplexStream<SessionRequest, SessionResponse>;

  constructor(call: ServerDuplexStream<SessionRequest, SessionResponse>) {
    this.#call = call;
    call.on('data', ({ message }: SessionRequest) => {
      if (message === undefined) return;
      this.inbox.put(message);
      if (message.$case !== 'heartbeat' || this.heartbeats === 'ignore') return;
      const leaseRenewed = this.heartbeats === 'renew';
      this.send({ $case: 'heartbeatAck', value: { seq: message.value.seq, leaseRenewed } });
    });
    call.on('error', () => undefined);
    call.on('end', () => {
      this.ended = true;
      call.end();
    });
    call.on('close', () => (this.ended = true));
  }

  /** The value of the next message of a kind; messages of other kinds stay. */
  async next<C extends Upstream['$case']>(kind: C): Promise<Values[C]> {
    const { value } = await this.inbox.take((item): item is Upstream => item.$case === kind);
    return value as Values[C];
  }

  send(message: Downstream | undefined): void {
    this.#call.write({ message });
  }

  /** Ends the stream with an error. */
  fail(error: unknown): void {
    this.#call.emit('error', toStatus(error));
  }

  /** Ends the stream without one. */
  end(): void {
    this.#call.end();
  }
}

/** An identity with its key and certificate chain, PEM, the root last. */
export interface FakeIdentity {
  readonly key: KeyObject;
  readonly publicKey: Uint8Array;
  readonly chain: string;
}

/** What the fake server answers; a test replaces what it wants to be different. */
export interface FakeAnswers {
  createChallenge: (request: CreateChallengeRequest) => Partial<CreateChallengeResponse>;
  enroll: (request: EnrollRequest) => Promise<EnrollResponse>;
  renewCertificate: (request: RenewCertificateRequest) => Promise<RenewCertificateResponse>;
  /** Undefined: never answers. */
  getTokens: (request: GetTokensRequest) => readonly ParticipantTokens[] | undefined;
}

/** A server that says what a test wants, over real TLS on loopback, with a CA of its own. */
export class FakeMusterServer {
  readonly sessions = new Mailbox<FakeSession>();
  readonly answers: FakeAnswers;
  sessionAddress = '';
  enrollmentAddress = '';
  /** Names of the methods called on the enrolment endpoint. */
  readonly calls: string[] = [];
  readonly #issuer: Issuer;
  readonly #servers: Server[] = [];
  identity!: FakeIdentity;

  private constructor(issuer: Issuer) {
    this.#issuer = issuer;
    this.answers = {
      createChallenge: () => ({}),
      enroll: async ({ certificateRequest }) => ({
        certificateChain: [await this.certify(openCertificateRequest(certificateRequest), 'site-1')],
        trustBundle: [],
        rejoinToken: `rejoin-${randomBytes(4).toString('hex')}`,
      }),
      renewCertificate: async ({ certificateRequest }) => ({
        certificateChain: [await this.certify(openCertificateRequest(certificateRequest), 'site-1')],
        trustBundle: [],
      }),
      getTokens: () => [],
    };
  }

  /** Starts a server; `as` is the identity that its certificate names. */
  static async start(
    as: { readonly role: Role; readonly name: string } = { role: 'server', name: 'server' },
  ): Promise<FakeMusterServer> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const [issuedAt, notAfter] = [new Date(), new Date(Date.now() + 86_400_000)];
    const root = await issueRoot(privateKey, trustDomain, issuedAt, notAfter);
    const certificate = new x509.X509Certificate(Uint8Array.from(root));
    const server = new FakeMusterServer({ key: privateKey, certificate });
    server.identity = await server.issue(as.role, as.name);
    server.sessionAddress = await server.#listen(AgentServiceService, server.#agentService(), true);
    server.enrollmentAddress = await server.#listen(
      EnrollmentServiceService,
      server.#enrollmentService(),
      false,
    );
    return server;
  }

  /** The CA certificate, PEM. */
  get bundle(): string {
    return this.#issuer.certificate.toString('pem');
  }

  /** The hash that agents pin. */
  get caHash(): string {
    return publicKeyHash(new X509Certificate(this.bundle));
  }

  /** A certificate, DER, for a key. */
  async certify(
    publicKey: Uint8Array,
    name: string,
    role: Role = 'site',
    lifeMs = 3_600_000,
  ): Promise<Buffer> {
    const { der } = await issueCertificate(this.#issuer, {
      identity: { trustDomain, role, name },
      publicKey,
      issuedAt: new Date(),
      notAfter: new Date(Date.now() + lifeMs),
      hosts: ['127.0.0.1'],
    });
    return Buffer.from(der);
  }

  /** A new key with its certificate. */
  async issue(role: Role, name: string): Promise<FakeIdentity> {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = publicKeyDer(publicKey);
    const leaf = await this.certify(spki, name, role);
    return { key: privateKey, publicKey: spki, chain: toPem([leaf]) + this.bundle };
  }

  stop(): void {
    for (const server of this.#servers) server.forceShutdown();
  }

  async #listen(
    service: Parameters<Server['addService']>[0],
    implementation: UntypedServiceImplementation,
    clients: boolean,
  ): Promise<string> {
    const server = new Server({ 'grpc.enable_channelz': 0 });
    server.addService(service, implementation);
    const pem = Buffer.from(
      createPrivateKey(this.identity.key.export({ format: 'pem', type: 'pkcs8' })).export({
        format: 'pem',
        type: 'pkcs8',
      }),
    );
    const credentials = ServerCredentials.createSsl(
      Buffer.from(this.bundle),
      [{ private_key: pem, cert_chain: Buffer.from(this.identity.chain) }],
      clients,
    );
    this.#servers.push(server);
    return new Promise((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', credentials, (error, port) =>
        error === null ? resolve(`127.0.0.1:${port}`) : reject(error),
      );
    });
  }

  #agentService(): UntypedServiceImplementation {
    return {
      session: (call) => this.sessions.put(new FakeSession(call)),
      getTokens: (call) => {
        const answers = this.answers.getTokens(call.request);
        for (const tokens of answers ?? []) call.write({ tokens });
        if (answers !== undefined) call.end();
      },
      renewCertificate: (call, respond) => answer(call, respond, this.answers.renewCertificate),
    } satisfies AgentServiceServer;
  }

  #enrollmentService(): UntypedServiceImplementation {
    return {
      createChallenge: (call, respond) => {
        this.calls.push('createChallenge');
        answer(call, respond, (request) => ({
          challenge: {
            id: 'challenge-1',
            nonce: randomBytes(32),
            namespaces: ['x-a'],
            deadline: new Date(Date.now() + 60_000),
          },
          trustDomain,
          audience: registryAudience(trustDomain),
          tpmCredential: undefined,
          ...this.answers.createChallenge(request),
        }));
      },
      enroll: (call, respond) => {
        this.calls.push('enroll');
        answer(call, respond, this.answers.enroll);
      },
    } satisfies EnrollmentServiceServer;
  }
}

function answer<Request, Response>(
  call: ServerUnaryCall<Request, Response>,
  respond: sendUnaryData<Response>,
  handler: (request: Request) => Response | Promise<Response>,
): void {
  void (async (): Promise<void> => {
    try {
      respond(null, await handler(call.request));
    } catch (error) {
      respond(toStatus(error));
    }
  })();
}
