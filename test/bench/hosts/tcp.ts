// The yardstick of the fan-out: a broadcast over plain TCP.
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { serveDriver } from './host.js';

const sockets = new Set<Socket>();

serveDriver({
  start: () => {
    const server = createServer({ noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => sockets.delete(socket));
    });
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', 10_000, () => resolve((server.address() as AddressInfo).port));
    });
  },
  broadcast: (bytes: number) => {
    const message = Buffer.alloc(bytes);
    for (const socket of sockets) socket.write(message);
  },
});
