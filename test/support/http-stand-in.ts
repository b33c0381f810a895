import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** One request that a stand-in was asked. */
export interface StandInRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A service on this machine that answers what a test says. */
export class HttpStandIn {
  readonly requests: StandInRequest[] = [];
  answer: { readonly status?: number; readonly body: string } = { body: '{}' };
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  /** Starts to listen, and returns the base address. */
  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = request;
    this.requests.push({ method, path, headers, body: await text(request) });
    const { status = 200, body } = this.answer;
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  }
}
