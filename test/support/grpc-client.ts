import { Client, Metadata, type MethodDefinition, type ServiceError } from '@grpc/grpc-js';
import {
  clientChannelOptions,
  clientCredentials,
  type ClientIdentity,
} from '@muster/shared/grpc/credentials.js';
import { fromServiceError } from '@muster/shared/grpc/status.js';

/** A connection of its own to a server of a test. */
export function connect(port: number, identity: ClientIdentity): Client {
  return new Client(`127.0.0.1:${port}`, clientCredentials(identity), {
    ...clientChannelOptions,
    'grpc.use_local_subchannel_pool': 1,
  });
}

/** Calls a unary method; rejects with the reasons that the server gave. */
export function call<Request, Response>(
  client: Client,
  method: MethodDefinition<Request, Response>,
  request: Request,
  deadlineMs = 5000,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = method;
    const options = { deadline: Date.now() + deadlineMs };
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
      options,
      (error, response) => (error === null ? resolve(response as Response) : reject(toError(error))),
    );
  });
}

/** The reasons of a refused call; its status is the error's `cause.code`. */
function toError(error: ServiceError): Error {
  return fromServiceError(error);
}
