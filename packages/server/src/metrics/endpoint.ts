import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { refusal } from '@muster/shared/errors.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import type { Metric } from './measures.js';

const path = '/metrics';
const maxConnections = 16;
const requestTimeoutMs = 5_000;

/** An endpoint that Prometheus scrapes. */
export interface MetricsEndpoint {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Serves metrics in the exposition format of Prometheus at `/metrics`. The library that writes it is loaded here, so
 * that a server without this endpoint does not have it. Errors: LISTEN_FAILED.
 */
export async function openMetricsEndpoint(
  metrics: readonly Metric[],
  listen: { readonly host: string; readonly port: number },
  logger: Logger,
): Promise<MetricsEndpoint> {
  const register = await registerOf(metrics);
  const answer = async (response: ServerResponse): Promise<void> => {
    try {
      const text = await register.metrics();
      response.writeHead(200, { 'content-type': register.contentType }).end(text);
    } catch (error) {
      logger.error('metrics.failed', errorFields(error));
      response.writeHead(500).end();
    }
  };
  const server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    if (request.url !== path) response.writeHead(404).end();
    else if (request.method !== 'GET') response.writeHead(405, { allow: 'GET' }).end();
    else void answer(response);
  });
  server.maxConnections = maxConnections;
  await listenOn(server, listen);
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listenOn(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (cause) {
    throw refusal('LISTEN_FAILED', { message: `The metrics cannot be served at ${host}:${port}.` }, cause);
  }
}

interface Register {
  readonly contentType: string;
  metrics(): Promise<string>;
}

async function registerOf(metrics: readonly Metric[]): Promise<Register> {
  const { Counter, Gauge, Registry } = await import('prom-client');
  const register = new Registry();
  for (const metric of metrics) {
    const { name, help, labels: labelNames } = metric;
    const common = { name, help, labelNames, registers: [register] };
    if (metric.type === 'gauge') {
      const gauge = new Gauge({
        ...common,
        async collect() {
          const samples = await metric.read();
          gauge.reset();
          for (const { labels, value } of samples) gauge.set(labels, value);
        },
      });
    } else {
      const counter = new Counter({
        ...common,
        async collect() {
          const samples = await metric.read();
          counter.reset();
          for (const { labels, value } of samples) counter.inc(labels, value);
        },
      });
    }
  }
  return register;
}
