import type { Client, MethodDefinition, ServiceDefinition, ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openEndpoint, type Endpoint, type Service } from '@muster/server/endpoints/endpoint.js';
import { authorize } from '@muster/server/middleware/authorization.js';
import { authorizationTable } from '@muster/server/middleware/authorization-table.js';
import { certificateAuthentication, type Caller } from '@muster/server/middleware/caller.js';
import { serverStream, unary } from '@muster/server/middleware/handlers.js';
import { LiveCalls } from '@muster/server/middleware/live-calls.js';
import { messageStream } from '@muster/server/middleware/message-stream.js';
import { RateLimiter } from '@muster/server/middleware/rate-limit.js';
import { AgentServiceService } from '@muster/shared/gen/muster/v1/agent.js';
import { EnrollmentServiceService } from '@muster/shared/gen/muster/v1/enrollment.js';
import { JobServiceService } from '@muster/shared/gen/muster/v1/job.js';
import { ParticipantServiceService } from '@muster/shared/gen/muster/v1/participant.js';
import { SystemServiceService } from '@muster/shared/gen/muster/v1/system.js';
import { roles, type Role } from '@muster/shared/spiffe.js';
import { fromServiceError } from '@muster/shared/grpc/status.js';
import { createFederation, type TestFederation } from '../../support/members.js';
import { connect } from '../../support/grpc-client.js';
import { silentLogger } from '../../support/logger.js';

const definitions: readonly ServiceDefinition[] = [
  AgentServiceService,
  EnrollmentServiceService,
  JobServiceService,
  ParticipantServiceService,
  SystemServiceService,
];
const methods = definitions.flatMap((definition) => Object.values(definition));

/** Who may call what, written out by hand: a change of the table has to be made here too. */
const expected: Readonly<Record<string, readonly Role[]>> = {
  Session: ['site'],
  GetTokens: ['site'],
  RenewCertificate: ['site'],
  SubmitJob: ['operator', 'framework'],
  CloneJob: ['operator', 'framework'],
  AdmitJob: ['operator', 'framework'],
  DryRunAdmitJob: ['operator', 'framework'],
  ReportJobState: ['operator', 'framework'],
  StopJob: ['operator', 'framework'],
  GetJob: ['operator', 'framework', 'auditor'],
  ListJobs: ['operator', 'framework', 'auditor'],
  WatchJobs: ['operator', 'framework', 'auditor'],
  ListParticipants: ['operator', 'auditor'],
  GetParticipant: ['operator', 'auditor'],
  WatchParticipants: ['operator', 'auditor'],
  QuarantineParticipant: ['operator'],
  ReadmitParticipant: ['operator'],
  RemoveParticipant: ['operator'],
  CreateJoinToken: ['operator'],
  GetStatus: ['operator', 'auditor'],
  Shutdown: ['operator'],
  VerifyNow: ['operator'],
  GetKeys: ['site', 'server', 'operator', 'framework', 'auditor'],
  ListAuditRecords: ['operator', 'auditor'],
  CreateChallenge: [],
  Enroll: [],
};

let federation: TestFederation;
let endpoint: Endpoint;
const clients = new Map<Role, Client>();
const denied: [Caller, string][] = [];

beforeAll(async () => {
  federation = await createFederation();
  const { store, clock, ca } = federation;
  endpoint = await openEndpoint({
    services: definitions.map(emptyService),
    credentials: await federation.endpoint(true),
    guard: {
      authenticate: certificateAuthentication(store, ca.trustDomain, clock),
      addressLimit: new RateLimiter({ rate: 1e6, burst: 1e6 }, clock),
      callerLimit: new RateLimiter({ rate: 1e6, burst: 1e6 }, clock),
      liveCalls: new LiveCalls(),
      onDenied: async (caller, path) => void denied.push([caller, path]),
      logger: silentLogger,
      clock,
    },
    listen: { host: '127.0.0.1', port: 0, maxConnections: 100, maxConnectionsPerAddress: 100 },
    reflection: true,
    clock,
  });
  for (const role of roles) clients.set(role, connect(endpoint.port, await federation.client(role)));
});
afterAll(async () => {
  for (const client of clients.values()) client.close();
  await endpoint.stop(0);
  await federation.close();
});

describe('the authorization table', () => {
  it('has every method of the contract, and no other of Muster', () => {
    const paths = methods.map(({ path }) => path);
    const listed = Object.keys(authorizationTable).filter((path) => path.startsWith('/muster.'));
    expect(listed.toSorted()).toEqual(paths.toSorted());
  });

  it.each(methods.flatMap((method) => roles.map((role) => [role, nameOf(method.path), method] as const)))(
    'decides for %s and %s',
    async (role, name, method) => {
      const code = await attempt(role, method);
      expect(code).toBe(expected[name]?.includes(role) === true ? 'OK' : 'PERMISSION_DENIED');
    },
  );

  it('lets people ask what is served, and every role ask for health', async () => {
    const health = { path: '/grpc.health.v1.Health/Check', requestStream: false, responseStream: false };
    const info = {
      path: '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      requestStream: true,
      responseStream: true,
    };
    for (const role of roles) {
      expect(await attempt(role, health)).toBe('OK');
      const mayAsk = role === 'operator' || role === 'framework' || role === 'auditor';
      expect(await attempt(role, info)).toBe(mayAsk ? 'OK' : 'PERMISSION_DENIED');
    }
  });

  it('allows nobody what it does not list', () => {
    for (const path of ['/muster.v1.SystemService/Destroy', 'constructor', '__proto__']) {
      expect(() => authorize(path, 'operator')).toThrow(
        expect.objectContaining({ code: 'PERMISSION_DENIED' }),
      );
    }
  });

  it('has every refusal of a known caller recorded', async () => {
    denied.length = 0;
    await attempt('auditor', SystemServiceService.shutdown);
    expect(denied.map(([{ spiffeId }, path]) => [spiffeId, path])).toEqual([
      ['spiffe://federation.example/auditor/auditor-1', '/muster.v1.SystemService/Shutdown'],
    ]);
  });
});

type Shape = Pick<MethodDefinition<unknown, unknown>, 'path' | 'requestStream' | 'responseStream'>;

/** Calls a method with an empty request: `OK`, or the code of the refusal. */
function attempt(role: Role, { path, responseStream, requestStream }: Shape): Promise<string> {
  const client = clients.get(role) as Client;
  const bytes = (value: Buffer): Buffer => value;
  return new Promise((resolve) => {
    const settle = (error: ServiceError | null): void =>
      resolve(error === null ? 'OK' : fromServiceError(error).code);
    if (requestStream) {
      const call = client.makeBidiStreamRequest(path, bytes, bytes);
      call
        .on('data', () => undefined)
        .on('end', () => resolve('OK'))
        .on('error', settle);
      call.end();
    } else if (responseStream) {
      const call = client.makeServerStreamRequest(path, bytes, bytes, Buffer.alloc(0));
      call
        .on('data', () => undefined)
        .on('end', () => resolve('OK'))
        .on('error', settle);
    } else {
      client.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), settle);
    }
  });
}

/** A service whose methods answer with nothing. */
function emptyService(definition: ServiceDefinition): Service {
  const implementation = Object.entries(definition).map(([name, method]) => {
    const empty: unknown = method.responseDeserialize(Buffer.alloc(0));
    if (method.requestStream) return [name, messageStream(endAtOnce)];
    if (method.responseStream) return [name, serverStream(async function* () {})];
    return [name, unary(async () => empty)];
  });
  return { definition, implementation: Object.fromEntries(implementation) as Service['implementation'] };
}

const endAtOnce: Parameters<typeof messageStream>[0] = (responses) => {
  responses.end();
  return { received: () => undefined, drained: () => undefined, closed: () => undefined };
};

function nameOf(path: string): string {
  return path.split('/')[2] ?? '';
}
