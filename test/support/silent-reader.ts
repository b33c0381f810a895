import { connect, type ClientHttp2Stream } from 'node:http2';
import type { ClientIdentity } from '@muster/shared/grpc/credentials.js';

/** A gRPC call that takes nothing of its responses, which a library's client cannot be made to do. */
export interface SilentReader {
  readonly send: (message: Uint8Array) => void;
  /** Says that no request follows. */
  readonly finish: () => void;
  /** Takes from now on what it is sent. */
  readonly readOn: () => void;
  /** Gives the call up, and its connection. */
  readonly close: () => void;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>;
  /** Whether it has. */
  readonly isClosed: () => boolean;
}

/** The initial window of streams (RFC 9113, section 6.9.2), bytes. */
const usualWindow = 65_535;

/** Opens a call on a connection of its own whose flow control lets no response through. */
export function openSilently(
  port: number,
  { trustBundle, certificate }: ClientIdentity,
  path: string,
): SilentReader {
  const connection = connect(`https://127.0.0.1:${port}`, {
    ca: trustBundle,
    checkServerIdentity: () => undefined,
    settings: { initialWindowSize: 0 },
    ...(certificate !== undefined && { cert: certificate.chain, key: certificate.key }),
  });
  let isClosed = false;
  const closed = new Promise<void>((resolve) => {
    connection.once('close', () => {
      isClosed = true;
      resolve();
    });
  });
  connection.on('error', () => undefined);
  const stream: ClientHttp2Stream = connection.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  stream.resume();
  return {
    send: (message) => {
      const frame = Buffer.alloc(5 + message.length);
      frame.writeUInt32BE(message.length, 1);
      frame.set(message, 5);
      if (stream.writable) stream.write(frame);
    },
    finish: () => stream.end(),
    readOn: () => connection.settings({ initialWindowSize: usualWindow }),
    close: () => connection.destroy(),
    closed,
    isClosed: () => isClosed,
  };
}
