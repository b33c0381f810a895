// The yardstick of sessions: node:http2 over mTLS, which answers every frame of a stream with another.
import { createSecureServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { serveDriver } from './host.js';

/** As long as an acknowledgement of a heartbeat. */
const answer = Buffer.alloc(13);

serveDriver({
  start: ({ key, chain, bundle }: { key: string; chain: string; bundle: string }) => {
    const server = createSecureServer({
      key,
      cert: chain,
      ca: bundle,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    });
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => stream.destroy());
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.on('data', () => stream.write(answer));
    });
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    });
  },
});
