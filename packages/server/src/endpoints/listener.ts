import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { ConnectionInjector, Server, ServerCredentials } from '@grpc/grpc-js';

/** Where an endpoint listens and how many connections it holds. */
export interface ListenOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
}

/** A port that takes connections for a gRPC server. */
export interface Listener {
  /** The port in use. */
  readonly port: number;
  /** Takes no more connections; those that are open stay. */
  close(): void;
}

/**
 * Opens a port for a gRPC server. Connections above the limits are closed before TLS begins, because a handshake is
 * what an attacker would have this server pay for.
 */
export async function listen(
  server: Server,
  credentials: ServerCredentials,
  options: ListenOptions,
): Promise<Listener> {
  const injector = server.createConnectionInjector(credentials);
  const perAddress = new Map<string, number>();
  const listening = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    accept(socket, injector, perAddress, options.maxConnectionsPerAddress);
  });
  listening.maxConnections = options.maxConnections;
  await new Promise<void>((resolve, reject) => {
    listening.once('error', reject);
    listening.listen({ host: options.host, port: options.port }, resolve);
  });
  return {
    port: (listening.address() as AddressInfo).port,
    close: () => void listening.close(),
  };
}

function accept(
  socket: Socket,
  injector: ConnectionInjector,
  perAddress: Map<string, number>,
  maxPerAddress: number,
): void {
  const address = socket.remoteAddress;
  const open = address === undefined ? maxPerAddress : (perAddress.get(address) ?? 0);
  if (address === undefined || open >= maxPerAddress) {
    socket.destroy();
    return;
  }
  perAddress.set(address, open + 1);
  socket.once('close', () => {
    const left = (perAddress.get(address) ?? 1) - 1;
    if (left > 0) perAddress.set(address, left);
    else perAddress.delete(address);
  });
  socket.on('error', () => socket.destroy());
  injector.injectConnection(socket);
}
