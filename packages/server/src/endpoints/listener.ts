import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { Server, ServerCredentials } from '@grpc/grpc-js';
import { refusal, type MusterError } from '@muster/shared/errors.js';
import { networkOf } from './network.js';
import { Turnstile } from './turnstile.js';

/**
 * The time between the beginnings of two TLS handshakes, ms. Each takes three or four milliseconds of a core: when all
 * agents come back at once, some of it is left for the sessions that are open.
 */
const handshakeGapMs = 5;

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
  /** Ends the connections that are open. The server's own forceShutdown leaves them when channelz is off. */
  destroy(): void;
}

/**
 * Opens a port for a gRPC server. Connections above the limits are closed before TLS begins, because a handshake is
 * what an attacker would have this server pay for. Errors: LISTEN_FAILED.
 */
export async function listen(
  server: Server,
  credentials: ServerCredentials,
  options: ListenOptions,
  connections: Connections,
): Promise<Listener> {
  const injector = server.createConnectionInjector(credentials);
  const handshakes = new Turnstile<Socket>(handshakeGapMs, (socket) => {
    if (!socket.destroyed) injector.injectConnection(socket);
  });
  const listening = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    const network = connections.add(socket);
    if (network === undefined) socket.destroy();
    else handshakes.add(network, socket);
  });
  listening.maxConnections = options.maxConnections;
  await new Promise<void>((resolve, reject) => {
    listening.once('error', (cause) => reject(listenFailed(options, cause)));
    listening.listen({ host: options.host, port: options.port }, resolve);
  });
  return {
    port: (listening.address() as AddressInfo).port,
    close: () => void listening.close(),
    destroy: () => connections.destroy(),
  };
}

function listenFailed({ host, port }: ListenOptions, cause: Error): MusterError {
  return refusal(
    'LISTEN_FAILED',
    { message: `The server cannot listen on ${host}:${port}: ${cause.message}.` },
    cause,
  );
}

/** The open connections, so many of each network; see networkOf. */
export class Connections {
  readonly #maxPerNetwork: number;
  readonly #byNetwork = new Map<string, Set<Socket>>();

  constructor(maxPerNetwork: number) {
    this.#maxPerNetwork = maxPerNetwork;
  }

  /** Its network; undefined when that has as many as it may, or when the connection is gone already. */
  add(socket: Socket): string | undefined {
    const address = socket.remoteAddress;
    if (address === undefined) return undefined;
    const network = networkOf(address);
    const open = this.#byNetwork.get(network) ?? new Set();
    if (open.size >= this.#maxPerNetwork) return undefined;
    this.#byNetwork.set(network, open.add(socket));
    socket.once('close', () => {
      open.delete(socket);
      if (open.size === 0) this.#byNetwork.delete(network);
    });
    return network;
  }

  /** Ends the connection from an address and port, if there is one. */
  end({ remoteAddress = '', remotePort }: Partial<Pick<Socket, 'remoteAddress' | 'remotePort'>>): void {
    for (const socket of this.#byNetwork.get(networkOf(remoteAddress)) ?? [])
      if (socket.remoteAddress === remoteAddress && socket.remotePort === remotePort) socket.destroy();
  }

  destroy(): void {
    for (const open of this.#byNetwork.values()) for (const socket of open) socket.destroy();
  }
}
