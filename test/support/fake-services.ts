import {
  Server,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { toStatus } from '@muster/shared/grpc/status.js';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFederation } from './members.js';

/** Answers a method: with a message, a list of messages for a stream, or by throwing. */
export type Answer = (request: never) => unknown;

/** A server with mTLS on loopback whose answers are the test's, and a profile for calling it. */
export interface FakeServices {
  readonly profile: string;
  /** A folder of the test's own, with the profile in it. */
  readonly folder: string;
  /** The requests so far, by method. */
  readonly requests: readonly { readonly method: string; readonly request: unknown }[];
  /** Decides the answers from now on; methods without one fail as UNIMPLEMENTED. */
  answer(answers: Readonly<Record<string, Answer>>): void;
  close(): Promise<void>;
}

/** Starts the services on a free port. */
export async function startFakeServices(services: readonly ServiceDefinition[]): Promise<FakeServices> {
  const trustDomain = 'test.example';
  const federation = await createFederation(trustDomain);
  const operator = await federation.client('operator', 'alice');
  const credentials = await federation.endpoint(true);
  let answers: Readonly<Record<string, Answer>> = {};
  const requests: { method: string; request: unknown }[] = [];

  const reply = (method: string, request: unknown): unknown => {
    requests.push({ method, request });
    const answer = answers[method];
    if (answer === undefined) throw new Error(`the test has no answer for ${method}`);
    return answer(request as never);
  };
  const unary =
    (method: string): handleUnaryCall<unknown, unknown> =>
    (call, callback) => {
      try {
        callback(null, reply(method, call.request));
      } catch (error) {
        callback(toStatus(error));
      }
    };
  const stream =
    (method: string): handleServerStreamingCall<unknown, unknown> =>
    (call) => {
      try {
        for (const message of reply(method, call.request) as unknown[]) call.write(message);
        call.end();
      } catch (error) {
        call.emit('error', toStatus(error));
      }
    };

  const server = new Server();
  for (const service of services) {
    const implementation = Object.fromEntries(
      Object.entries(service).map(([name, method]) => [
        name,
        method.responseStream ? stream(name) : unary(name),
      ]),
    ) as UntypedServiceImplementation;
    server.addService(service, implementation);
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });

  const folder = mkdtempSync(join(tmpdir(), 'muster-cli-'));
  const write = (name: string, content: string): void => writeFileSync(join(folder, name), content);
  write('certificate.pem', operator.certificate?.chain ?? '');
  write('key.pem', operator.certificate?.key ?? '');
  chmodSync(join(folder, 'key.pem'), 0o600);
  write('bundle.pem', operator.trustBundle);
  write(
    'profile.yaml',
    [
      `server: 127.0.0.1:${port}`,
      `trust_domain: ${trustDomain}`,
      'certificate: certificate.pem',
      'key: key.pem',
      'bundle: bundle.pem',
      '',
    ].join('\n'),
  );
  return {
    profile: join(folder, 'profile.yaml'),
    folder,
    requests,
    answer: (next) => {
      answers = next;
      requests.length = 0;
    },
    close: async () => {
      server.forceShutdown();
      rmSync(folder, { recursive: true });
      await federation.close();
    },
  };
}
