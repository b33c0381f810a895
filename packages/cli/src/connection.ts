import { Client, Metadata, type MethodDefinition, type ServiceError, status } from '@grpc/grpc-js';
import {
  clientChannelOptions,
  clientCredentials,
  type ClientIdentity,
} from '@muster/shared/grpc/credentials.js';
import { type MusterError, refusal } from '@muster/shared/errors.js';
import { fromServiceError } from '@muster/shared/grpc/status.js';
import type { Profile } from './profile.js';

/** One connection to the server, for any of its services. */
export interface Connection {
  /**
   * Calls a unary method. Errors: what the server answers; SERVER_UNREACHABLE when it does not within the deadline;
   * SERVER_IDENTITY_MISMATCH when it is not the server of the profile.
   */
  call<Q, A>(method: MethodDefinition<Q, A>, request: Q, timeoutMs: number): Promise<A>;
  /** Reads a server stream until the server ends it; the deadline is for the first contact. Errors: as `call`. */
  watch<Q, A>(method: MethodDefinition<Q, A>, request: Q, timeoutMs: number): AsyncIterable<A>;
  close(): void;
}

/** A stream notices within this time that the server is gone. */
const keepalive = { 'grpc.keepalive_time_ms': 20_000, 'grpc.keepalive_timeout_ms': 10_000 };

/** Connects to a profile's server on the first call. Errors: PROFILE_INVALID when the files hold no identity. */
export function connect({ server, identity }: Profile): Connection {
  const client = createClient(server, identity);
  const failed = (error: unknown): Error => untrusted(fromServiceError(error as ServiceError), server);
  return {
    call: (method, request, timeoutMs) =>
      new Promise((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = method;
        const deadline = Date.now() + timeoutMs;
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          new Metadata(),
          { deadline },
          (error, response) => {
            if (error === null && response !== undefined) resolve(response);
            else reject(failed(error));
          },
        );
      }),
    async *watch(method, request, timeoutMs) {
      await new Promise<void>((resolve, reject) => {
        client.waitForReady(Date.now() + timeoutMs, (error) => {
          if (error === undefined) resolve();
          else reject(failed({ code: status.UNAVAILABLE, details: error.message }));
        });
      });
      const { path, requestSerialize, responseDeserialize } = method;
      const stream = client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
      );
      try {
        yield* stream.iterator({ destroyOnReturn: false }) as AsyncIterable<never>;
      } catch (error) {
        throw failed(error);
      } finally {
        // Cancelling is announced as an error, which nobody iterates for any more.
        stream.on('error', () => undefined).cancel();
      }
    },
    close: () => client.close(),
  };
}

/** TLS's words for a peer that this side does not accept; those for the peer not accepting this side are alerts. */
const untrustedPeer = /(certificate|the peer is not a server)(?!.*alert)/i;

/** Tells a server that is not the profile's from one that nobody reaches: waiting does not mend the former. */
function untrusted(error: MusterError, server: string): MusterError {
  if (error.code !== 'SERVER_UNREACHABLE' || !untrustedPeer.test(error.message)) return error;
  const message = `${server} is not proven to be the server of this profile. ${error.message}`;
  return refusal('SERVER_IDENTITY_MISMATCH', { message, path: 'bundle' }, error);
}

function createClient(server: string, identity: ClientIdentity): Client {
  try {
    return new Client(server, clientCredentials(identity), { ...clientChannelOptions, ...keepalive });
  } catch (cause) {
    const message = 'The certificate, the key or the bundle of the profile is not PEM of that kind.';
    throw refusal('PROFILE_INVALID', { message }, cause);
  }
}
