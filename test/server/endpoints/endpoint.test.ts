import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { X509Certificate } from 'node:crypto';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openEndpoint, type Endpoint, type EndpointOptions } from '@muster/server/endpoints/endpoint.js';
import type { EndpointCredentials } from '@muster/server/endpoints/tls.js';
import { certificateAuthentication } from '@muster/server/middleware/caller.js';
import { serverStream, unary } from '@muster/server/middleware/handlers.js';
import { LiveCalls } from '@muster/server/middleware/live-calls.js';
import { RateLimiter } from '@muster/server/middleware/rate-limit.js';
import { revokeCertificates, selectRevokedSerials } from '@muster/server/store/certificates.js';
import { refusal, type MusterError } from '@muster/shared/errors.js';
import {
  ParticipantServiceService as methods,
  type ParticipantServiceServer,
} from '@muster/shared/gen/muster/v1/participant.js';
import { fromServiceError } from '@muster/shared/grpc/status.js';
import type { ClientIdentity } from '@muster/shared/grpc/credentials.js';
import { publicKeyHash } from '@muster/shared/pki/certificate.js';
import { createFederation, type TestFederation } from '../../support/members.js';
import { call, connect } from '../../support/grpc-client.js';
import { silentLogger } from '../../support/logger.js';

const unlimited = { rate: 1e6, burst: 1e6 };
let federation: TestFederation;
let credentials: EndpointCredentials;
let endpoint: Endpoint | undefined;
let release: () => void = () => undefined;
let onWatchAborted: () => void = () => undefined;
let liveCalls: LiveCalls;
const cleanup: (() => void)[] = [];

/** What the handlers do, for a test to choose. */
let list: Parameters<typeof unary<object, { participants: [] }>>[0];

async function open(change: Partial<EndpointOptions> = {}, limits = unlimited): Promise<number> {
  const { store, clock, ca } = federation;
  const implementation = {
    listParticipants: unary((request: object, context) => list(request, context)),
    watchParticipants: serverStream(async function* (_: object, { signal }) {
      signal.addEventListener('abort', () => onWatchAborted());
      yield { participant: undefined, removed: false };
      await new Promise<void>((resolve) => {
        release = resolve;
      });
    }),
  } as Partial<ParticipantServiceServer> as never;
  endpoint = await openEndpoint({
    services: [{ definition: methods, implementation }],
    credentials,
    guard: {
      authenticate: certificateAuthentication(store, ca.trustDomain, clock),
      addressLimit: new RateLimiter(unlimited, clock),
      callerLimit: new RateLimiter(limits, clock),
      liveCalls,
      onDenied: async () => undefined,
      logger: silentLogger,
      clock,
    },
    listen: { host: '127.0.0.1', port: 0, maxConnections: 100, maxConnectionsPerAddress: 100 },
    reflection: false,
    clock,
    ...change,
  });
  endpoint.setServing(true);
  return endpoint.port;
}

async function listAs(port: number, identity: ClientIdentity): Promise<string> {
  const client = connect(port, identity);
  cleanup.push(() => client.close());
  try {
    await call(client, methods.listParticipants, {}, 2000);
    return 'OK';
  } catch (error) {
    return (error as MusterError).code;
  }
}

async function tls(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    ca: federation.ca.bundlePem,
    ALPNProtocols: ['h2'],
    checkServerIdentity: () => undefined,
    ...options,
  });
  cleanup.push(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

/** What a server offers to resume a connection by. */
async function ticketOf(socket: TLSSocket): Promise<Buffer> {
  const [ticket] = (await once(socket, 'session')) as [Buffer];
  return ticket;
}

beforeEach(async () => {
  federation = await createFederation();
  liveCalls = new LiveCalls();
  credentials = await federation.endpoint(true);
  list = async () => ({ participants: [] });
});
afterEach(async () => {
  release();
  for (const step of cleanup.splice(0)) step();
  await endpoint?.stop(0);
  endpoint = undefined;
  await federation.close();
});

describe('a caller is refused', () => {
  it('without a certificate', async () => {
    const port = await open();
    const { trustBundle, trustDomain } = await federation.client('operator');
    expect(await listAs(port, { trustBundle, trustDomain })).toBe('SERVER_UNREACHABLE');
  });

  it('with a certificate of another CA', async () => {
    const port = await open();
    const other = await createFederation();
    const { certificate } = await other.client('operator');
    const { trustBundle, trustDomain } = await federation.client('operator');
    const identity = { trustBundle, trustDomain, ...(certificate && { certificate }) };
    expect(await listAs(port, identity)).toBe('SERVER_UNREACHABLE');
    await other.close();
  });

  it('with a certificate that the CA does not know to have issued', async () => {
    const port = await open();
    const identity = await federation.client('operator');
    await federation.store.transaction((tx) => tx.deleteFrom('certificates').execute());
    expect(await listAs(port, identity)).toBe('UNAUTHENTICATED');
  });

  it('with a revoked certificate, also on a connection that was open before', async () => {
    const port = await open();
    const client = connect(port, await federation.client('operator'));
    cleanup.push(() => client.close());
    await call(client, methods.listParticipants, {});
    await federation.store.transaction((tx) =>
      tx.updateTable('certificates').set({ revoked_at: 1 }).execute(),
    );
    await expect(call(client, methods.listParticipants, {})).rejects.toMatchObject({
      code: 'CERTIFICATE_REVOKED',
    });
  });

  it('with a certificate that expired while the connection was open', async () => {
    const port = await open();
    const client = connect(port, await federation.client('operator', 'olga', 60_000));
    cleanup.push(() => client.close());
    await call(client, methods.listParticipants, {});
    await federation.clock.advance(60_000);
    await expect(call(client, methods.listParticipants, {})).rejects.toMatchObject({
      code: 'CERTIFICATE_EXPIRED',
    });
  });

  it('when it calls more often than its limit, with the delay', async () => {
    const port = await open({}, { rate: 1, burst: 2 });
    const client = connect(port, await federation.client('operator'));
    cleanup.push(() => client.close());
    await call(client, methods.listParticipants, {});
    await call(client, methods.listParticipants, {});
    await expect(call(client, methods.listParticipants, {})).rejects.toMatchObject({
      code: 'RATE_LIMITED',
      retryAfterMs: 1000,
    });
    expect(await listAs(port, await federation.client('operator', 'other'))).toBe('OK');
  });

  it('when its request is larger than 1 MiB', async () => {
    const port = await open();
    const client = connect(port, await federation.client('operator'));
    cleanup.push(() => client.close());
    const large = { name: 'x'.repeat(1024 * 1024 + 1) };
    const refused = call(client, methods.getParticipant, large);
    await expect(refused).rejects.toMatchObject({ cause: { code: status.RESOURCE_EXHAUSTED } });
  });
});

describe('a stream that is open', () => {
  /** Watches as a caller whose certificate then comes to something. */
  async function watch(lifetimeMs?: number): Promise<{
    ended: Promise<string>;
    aborted: Promise<void>;
    cancel: () => void;
  }> {
    const port = await open();
    const client = connect(port, await federation.client('operator', 'olga', lifetimeMs));
    cleanup.push(() => client.close());
    const aborted = new Promise<void>((resolve) => {
      onWatchAborted = resolve;
    });
    const { path, requestSerialize, responseDeserialize } = methods.watchParticipants;
    const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
    const ended = new Promise<string>((resolve) => {
      stream.on('error', (error) => resolve(fromServiceError(error as ServiceError).code));
    });
    await once(stream, 'data');
    stream.resume();
    return { ended, aborted, cancel: () => stream.cancel() };
  }

  it('ends for its caller and its handler when its certificate is revoked, and no other does', async () => {
    const { ended, aborted } = await watch();
    const { store, clock } = federation;
    liveCalls.sweep(clock, new Set(['00']));
    await store.transaction((tx) => revokeCertificates(tx, { role: 'operator', name: 'olga' }, 1));
    liveCalls.sweep(clock, new Set(await store.transaction(selectRevokedSerials)));
    expect(await ended).toBe('CERTIFICATE_REVOKED');
    await aborted;
  });

  it('ends when its certificate expires', async () => {
    const { ended, aborted } = await watch(60_000);
    await federation.clock.advance(59_000);
    liveCalls.sweep(federation.clock, new Set());
    await federation.clock.advance(1_000);
    liveCalls.sweep(federation.clock, new Set());
    expect(await ended).toBe('CERTIFICATE_EXPIRED');
    await aborted;
  });

  it('is forgotten when it ends, and so is every other call', async () => {
    const { aborted, cancel } = await watch();
    await listAs(endpoint?.port ?? 0, await federation.client('auditor'));
    expect(liveCalls.size).toBe(1);
    cancel();
    await aborted;
    expect(liveCalls.size).toBe(0);
  });
});

describe('a handler', () => {
  it('learns who calls, and not from what the caller says', async () => {
    list = async (_, { caller }) => {
      throw refusal('JOB_UNKNOWN', { message: caller.spiffeId });
    };
    const port = await open();
    const client = connect(port, await federation.client('auditor', 'anna'));
    cleanup.push(() => client.close());
    await expect(call(client, methods.listParticipants, {})).rejects.toMatchObject({
      code: 'JOB_UNKNOWN',
      message: 'spiffe://federation.example/auditor/anna',
    });
  });

  it('that fails by mistake tells the caller nothing about it', async () => {
    list = async () => {
      throw new Error('secret detail');
    };
    const port = await open();
    const client = connect(port, await federation.client('operator'));
    cleanup.push(() => client.close());
    const failed = await call(client, methods.listParticipants, {}).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'INTERNAL' });
    expect(JSON.stringify(failed) + String(failed)).not.toContain('secret');
  });

  it('is told when the caller gives up', async () => {
    const port = await open();
    const client = connect(port, await federation.client('operator'));
    cleanup.push(() => client.close());
    const aborted = new Promise<void>((resolve) => {
      list = (_, { signal }) =>
        new Promise(() => {
          signal.addEventListener('abort', () => resolve());
          request.cancel();
        });
    });
    const { path, requestSerialize, responseDeserialize } = methods.listParticipants;
    const request = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      {},
      new Metadata(),
      () => undefined,
    );
    await aborted;
  });
});

describe('the port', () => {
  it('speaks TLS 1.3 only, and shows the root so that it can be pinned', async () => {
    credentials = await federation.endpoint(false);
    const port = await open();
    const socket = await tls(port);
    expect(socket.getProtocol()).toBe('TLSv1.3');
    const { issuerCertificate } = socket.getPeerCertificate(true);
    expect(publicKeyHash(new X509Certificate(issuerCertificate.raw))).toBe(federation.ca.hash);
    await expect(tls(port, { maxVersion: 'TLSv1.2' })).rejects.toThrow();
  });

  it.each([
    ['that wants certificates', true],
    ['of enrolment', false],
  ])('%s resumes no TLS session, so that no caller comes in without its certificate', async (_, mutual) => {
    credentials = await federation.endpoint(mutual);
    const { certificate } = await federation.client('operator');
    if (certificate === undefined) throw new Error('a client has a certificate');
    const options = mutual ? { key: certificate.key, cert: certificate.chain } : {};
    const port = await open();
    const first = await tls(port, options);
    const session = await ticketOf(first);
    const again = await tls(port, { ...options, session });
    expect(again.isSessionReused()).toBe(false);
    if (!mutual) return;
    const bare = await tls(port, { session });
    expect(bare.isSessionReused()).toBe(false);
    await once(bare, 'error');
  });

  it('shows a replaced certificate to new connections', async () => {
    credentials = await federation.endpoint(false);
    const port = await open();
    const serial = async (): Promise<string> => (await tls(port)).getPeerCertificate().serialNumber;
    const before = await serial();
    const { certificate } = await federation.client('server', 'central');
    if (certificate === undefined) throw new Error('a client has a certificate');
    credentials.replace({ key: certificate.key, chain: certificate.chain + federation.ca.bundlePem });
    expect(await serial()).not.toBe(before);
    await expect(tls(port, { maxVersion: 'TLSv1.2' })).rejects.toThrow();
  });

  it('closes connections above the limit of an address before TLS begins', async () => {
    const port = await open({
      listen: { host: '127.0.0.1', port: 0, maxConnections: 100, maxConnectionsPerAddress: 2 },
    });
    const tcp = async (): Promise<Socket> => {
      const socket = connectTcp({ host: '127.0.0.1', port });
      cleanup.push(() => socket.destroy());
      await once(socket, 'connect');
      return socket;
    };
    const [first] = [await tcp(), await tcp()];
    const third = await tcp();
    await once(third, 'close');
    first.destroy();
    await once(first, 'close');
    expect(await listAs(port, await federation.client('operator'))).toBe('OK');
  });
});

describe('reflection and health', () => {
  const raw = (value: Buffer): Buffer => value;

  it.each(['v1', 'v1alpha'])('tells what is served, with the contract, by %s', async (version) => {
    const client = connect(await open({ reflection: true }), await federation.client('operator'));
    cleanup.push(() => client.close());
    const ask = async (request: Buffer): Promise<string> => {
      const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
      const stream = client.makeBidiStreamRequest(path, raw, raw);
      stream.end(request);
      return text(stream as never);
    };
    const field = (number: number, value: string): Buffer =>
      Buffer.concat([Buffer.from([(number << 3) | 2, value.length]), Buffer.from(value)]);
    const services = await ask(field(7, ''));
    expect(services).toContain('muster.v1.ParticipantService');
    expect(services).not.toContain('muster.v1.EnrollmentService');
    expect(await ask(field(4, 'muster.v1.ParticipantService'))).toContain('QuarantineParticipantRequest');
  });

  it('says that it serves only once it does', async () => {
    const client = connect(await open(), await federation.client('framework'));
    cleanup.push(() => client.close());
    const check = { path: '/grpc.health.v1.Health/Check', requestSerialize: raw, responseDeserialize: raw };
    const health = (): Promise<Buffer> => call(client, check as never, Buffer.alloc(0) as never);
    expect(await health()).toEqual(Buffer.from([8, 1]));
    endpoint?.setServing(false);
    expect(await health()).toEqual(Buffer.from([8, 2]));
  });
});

describe('an orderly stop', () => {
  it('lets open calls end, then closes', async () => {
    let finish: () => void = () => undefined;
    const started = new Promise<void>((resolve) => {
      list = async () => {
        resolve();
        await new Promise<void>((done) => {
          finish = done;
        });
        return { participants: [] };
      };
    });
    const port = await open();
    const client = connect(port, await federation.client('operator'));
    cleanup.push(() => client.close());
    const answer = call(client, methods.listParticipants, {});
    await started;
    const stopped = endpoint?.stop(10_000);
    finish();
    await expect(answer).resolves.toEqual({ participants: [] });
    await stopped;
    expect(await listAs(port, await federation.client('operator'))).toBe('SERVER_UNREACHABLE');
  });

  it('ends calls that are still open when the grace is over', async () => {
    const port = await open();
    const client = connect(port, await federation.client('operator'));
    cleanup.push(() => client.close());
    const { path, requestSerialize, responseDeserialize } = methods.watchParticipants;
    const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
    const ended = new Promise((resolve) => stream.on('error', resolve));
    await once(stream, 'data');
    stream.resume();
    const timers = federation.clock.timers;
    const stopped = endpoint?.stop(10_000);
    await federation.clock.waitForTimers(timers + 1);
    await federation.clock.advance(10_000);
    await stopped;
    expect(await ended).toMatchObject({ code: expect.any(Number) });
  });
});
