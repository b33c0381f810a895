import { connect, createServer, type Server, type Socket } from 'node:net';

/** A way over loopback that can be cut as a cable is: nothing passes any more, and neither side is told. */
export interface TcpProxy {
  readonly port: number;
  cut(): void;
  /** Lets new connections pass; those from before the cut end. */
  heal(): void;
  close(): Promise<void>;
}

/** Starts a proxy to a port of the loopback address. */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };
  const server: Server = createServer((near) => {
    track(near);
    if (isCut) return;
    const far = connect(targetPort, '127.0.0.1');
    track(far);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.pipe(to);
      from.on('close', () => {
        if (!isCut) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const dropAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    cut: () => {
      isCut = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    heal: () => {
      isCut = false;
      dropAll();
    },
    close: async () => {
      dropAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
