// The second yardstick of sessions: plain @grpc/grpc-js over mTLS, which answers every message of a stream with another.
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { serveDriver } from './host.js';

const asIs = (bytes: Buffer): Buffer => bytes;
const definition = {
  session: {
    path: '/muster.v1.AgentService/Session',
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  },
};
/** As long as an acknowledgement of a heartbeat. */
const answer = Buffer.alloc(8);

serveDriver({
  start: ({ key, chain, bundle }: { key: string; chain: string; bundle: string }) => {
    const server = new Server({ 'grpc.enable_channelz': 0 });
    server.addService(definition, {
      session: (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on('error', () => call.end());
        call.on('data', () => call.write(answer));
      },
    });
    const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(chain) };
    const credentials = ServerCredentials.createSsl(Buffer.from(bundle), [pair], true);
    return new Promise((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  },
});
