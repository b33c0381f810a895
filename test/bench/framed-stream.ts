import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';

/** What a client shows and trusts, PEM. */
export interface TlsMaterial {
  readonly key: string;
  readonly chain: string;
  readonly bundle: string;
}

const prefixBytes = 5;

/**
 * One gRPC stream on a connection of its own, over bare node:http2: the same driver, and as cheap a one as there is,
 * serves the server under test and its yardstick.
 */
export class FramedStream {
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  #received: Buffer = Buffer.alloc(0);

  constructor(port: number, tls: TlsMaterial, { path, onMessage, onClose }: StreamOptions) {
    this.#session = connect(`https://127.0.0.1:${port}`, {
      key: tls.key,
      cert: tls.chain,
      ca: tls.bundle,
      // The driver measures; it does not judge the server.
      checkServerIdentity: () => undefined,
    });
    this.#stream = this.#session.request(
      { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
      { endStream: false },
    );
    let closed = false;
    const close = (why: string): void => {
      if (closed) return;
      closed = true;
      this.#session.destroy();
      onClose(why);
    };
    this.#session.on('error', (error) => close(error.message));
    this.#session.on('close', () => close('the connection ended'));
    this.#stream.on('error', (error) => close(error.message));
    this.#stream.on('trailers', (headers) => close(String(headers['grpc-message'] ?? 'the call ended')));
    this.#stream.on('response', (headers) => {
      if (headers['grpc-status'] !== undefined) close(String(headers['grpc-message']));
    });
    this.#stream.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      for (;;) {
        const length = this.#received.length < prefixBytes ? Infinity : this.#received.readUInt32BE(1);
        if (this.#received.length < prefixBytes + length) return;
        const message = this.#received.subarray(prefixBytes, prefixBytes + length);
        this.#received = this.#received.subarray(prefixBytes + length);
        onMessage(message);
      }
    });
  }

  send(message: Uint8Array): void {
    const frame = Buffer.alloc(prefixBytes + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, prefixBytes);
    this.#stream.write(frame);
  }

  close(): void {
    this.#session.destroy();
  }
}

/** What a stream is for, and who is told of what comes over it. */
export interface StreamOptions {
  readonly path: string;
  readonly onMessage: (message: Buffer) => void;
  /** Once, with the reason. */
  readonly onClose: (why: string) => void;
}
