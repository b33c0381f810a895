import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, Metadata, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { openEndpoint, type Endpoint } from '@muster/server/endpoints/endpoint.js';
import { certificateAuthentication } from '@muster/server/middleware/caller.js';
import { LiveCalls } from '@muster/server/middleware/live-calls.js';
import { RateLimiter } from '@muster/server/middleware/rate-limit.js';
import { agentService } from '@muster/server/services/agent.js';
import {
  AgentServiceService as methods,
  SessionRequest,
  type GetTokensResponse,
  type SessionResponse,
} from '@muster/shared/gen/muster/v1/agent.js';
import type { ClientIdentity } from '@muster/shared/grpc/credentials.js';
import { fromServiceError } from '@muster/shared/grpc/status.js';
import { createCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { certificateIdentity, publicKeyDer, toPem } from '@muster/shared/pki/certificate.js';
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { call, connect } from '../../support/grpc-client.js';
import { silentLogger } from '../../support/logger.js';
import { createFederation, type TestFederation } from '../../support/members.js';
import { createSessions, greeting, type SessionFederation } from '../../support/session-federation.js';
import { presenter, trustDomain } from '../../support/tokens.js';

const unlimited = { rate: 1e6, burst: 1e6 };

describe('AgentService', () => {
  let members: TestFederation;
  let server: SessionFederation;
  let endpoint: Endpoint;
  let site: ClientIdentity;
  let client: Client;

  beforeEach(async () => {
    members = await createFederation(trustDomain);
    const { store, clock, ca } = members;
    const identity = presenter('muster', 'server');
    const signer = {
      issuer: `spiffe://${trustDomain}/server/muster`,
      trustDomain,
      keyId: 'k1',
      key: identity.privateKey,
      jwks: '{"keys":[]}',
    };
    server = await createSessions({ before: { store, clock, server: identity, signer } });
    site = await members.client('site', 'site-1');
    const { registry, hub } = server;
    await store.transaction(async (tx) => {
      await registry.invite(tx, 'site-1');
      await registry.enroll(tx, 'site-1', publicKeyDer(createPublicKey(site.certificate?.key ?? '')));
    });
    const audit = { append: async (): Promise<void> => undefined };
    endpoint = await openEndpoint({
      services: [
        agentService({
          store,
          registry,
          hub,
          ca,
          audit,
          certificateLifetimeMs: 60_000,
          logger: silentLogger,
        }),
      ],
      credentials: await members.endpoint(true),
      guard: {
        authenticate: certificateAuthentication(store, trustDomain, clock),
        addressLimit: new RateLimiter(unlimited, clock),
        callerLimit: new RateLimiter(unlimited, clock),
        liveCalls: new LiveCalls(),
        onDenied: async () => undefined,
        logger: silentLogger,
        clock,
      },
      listen: { host: '127.0.0.1', port: 0, maxConnections: 10, maxConnectionsPerAddress: 10 },
      reflection: false,
      clock,
    });
    client = connect(endpoint.port, site);
  });

  afterEach(async () => {
    client.close();
    server.verification.stop();
    server.hub.stop();
    await endpoint.stop(0);
    await members.close();
  });

  const stream = (): ClientDuplexStream<Uint8Array, SessionResponse> => {
    const opened = client.makeBidiStreamRequest(
      methods.session.path,
      (bytes: Uint8Array) => Buffer.from(bytes),
      methods.session.responseDeserialize,
      new Metadata(),
    );
    opened.on('error', () => undefined);
    return opened;
  };
  const hello = SessionRequest.encode({ message: { $case: 'hello', value: greeting() } }).finish();
  const open = async (): Promise<ClientDuplexStream<Uint8Array, SessionResponse>> => {
    const opened = stream();
    opened.write(hello);
    const [first] = (await once(opened, 'data')) as [SessionResponse];
    expect(first.message?.$case).toBe('welcome');
    return opened;
  };
  const failure = async (opened: ReturnType<typeof stream>): Promise<string> => {
    const [error] = (await once(opened, 'error')) as [ServiceError];
    return fromServiceError(error).code;
  };

  it('opens a session, and notices when its connection is gone', async () => {
    const opened = await open();
    expect(server.hub.isConnected('site-1')).toBe(true);
    const gone = new Promise<void>((resolve) => {
      server.registry.watch((_name, participant) => participant?.connected === false && resolve());
    });
    opened.cancel();
    await gone;
    expect(server.hub.isConnected('site-1')).toBe(false);
  });

  it('ends a session with the reason when a frame is malformed', async () => {
    const opened = await open();
    opened.write(Buffer.from([0xff, 0xff, 0xff]));
    expect(await failure(opened)).toBe('SESSION_PROTOCOL');
  });

  it('ends a session when a frame is larger than 1 MiB', async () => {
    const opened = await open();
    opened.write(Buffer.alloc(1024 * 1024 + 1));
    const [error] = (await once(opened, 'error')) as [ServiceError];
    expect(error.code).toBe(8);
    expect(server.failures).toEqual([]);
  });

  it('tells the older of two sessions that it is fenced', async () => {
    const first = await open();
    const [code] = await Promise.all([failure(first), open()]);
    expect(code).toBe('SESSION_FENCED');
  });

  it('is for sites only', async () => {
    client.close();
    client = connect(endpoint.port, await members.client('operator', 'olga'));
    const opened = stream();
    opened.write(hello);
    expect(await failure(opened)).toBe('PERMISSION_DENIED');
  });

  it('hands out the tokens of those that have some', async () => {
    const answers: GetTokensResponse[] = [];
    const call = client.makeServerStreamRequest(
      methods.getTokens.path,
      methods.getTokens.requestSerialize,
      methods.getTokens.responseDeserialize,
      { participants: ['muster', 'site-1', 'nobody'] },
    );
    for await (const answer of call) answers.push(answer as GetTokensResponse);
    expect(answers).toMatchObject([
      { tokens: { participant: 'muster', server: true, tokens: [{ namespace: 'x-a' }] } },
    ]);
  });

  describe('renewing a certificate', () => {
    const renew = async (key: string): Promise<readonly Buffer[]> => {
      const privateKey = createPrivateKey(key);
      const request = createCertificateRequest(privateKey, createPublicKey(key));
      const certificateRequest = Buffer.from(request);
      const { certificateChain } = await call(client, methods.renewCertificate, { certificateRequest });
      return certificateChain;
    };

    it('gives one for the key that the caller enrolled with', async () => {
      const [leaf] = await renew(site.certificate?.key ?? '');
      const certificate = new X509Certificate(leaf ?? '');
      expect(certificateIdentity(certificate)).toMatchObject({ role: 'site', name: 'site-1' });
    });

    it('survives a lost reply, and the session goes over to the later certificate, which retires the others', async () => {
      const { key = '', chain: held = '' } = site.certificate ?? {};
      const first = await open();
      const renewed = async (): Promise<ClientIdentity> => {
        await members.clock.advance(1);
        return { ...site, certificate: { key, chain: toPem(await renew(key)) } };
      };
      const lost = await renewed();
      const arrived = await renewed();
      const names = { participants: [] };
      const use = async (identity: ClientIdentity): Promise<string> => {
        const other = connect(endpoint.port, identity);
        const stream = other.makeServerStreamRequest(
          methods.getTokens.path,
          methods.getTokens.requestSerialize,
          methods.getTokens.responseDeserialize,
          names,
        );
        stream.resume();
        return new Promise<string>((resolve) => {
          stream.on('error', (error) => resolve(fromServiceError(error as ServiceError).code));
          stream.on('end', () => resolve('OK'));
        }).finally(() => other.close());
      };
      expect(await use({ ...site, certificate: { key, chain: held } })).toBe('OK');
      const before = client;
      client = connect(endpoint.port, arrived);
      const [code, second] = await Promise.all([failure(first), open()]);
      expect(code).toBe('SESSION_FENCED');
      expect([await use(site), await use(lost), await use(arrived)]).toEqual([
        'CERTIFICATE_SUPERSEDED',
        'CERTIFICATE_SUPERSEDED',
        'OK',
      ]);
      expect(server.hub.isConnected('site-1')).toBe(true);
      second.cancel();
      before.close();
    });

    it('gives none for another key', async () => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const other = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
      await expect(renew(other)).rejects.toMatchObject({ code: 'CERTIFICATE_REQUEST_INVALID' });
    });

    it('gives none for the key of an earlier enrolment', async () => {
      const { store, registry } = server;
      await store.transaction((tx) => registry.enroll(tx, 'site-1', presenter('site-1').publicKey));
      await expect(renew(site.certificate?.key ?? '')).rejects.toMatchObject({ code: 'CERTIFICATE_REVOKED' });
    });
  });
});
