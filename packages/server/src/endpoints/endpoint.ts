import {
  Server,
  type ServerCredentials,
  type ServerOptions,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Clock, Timer } from '@muster/shared/clock.js';
import { HealthImplementation } from 'grpc-health-check';
import { guardInterceptor, type Guard } from '../middleware/interceptor.js';
import { Connections, listen, type Listener, type ListenOptions } from './listener.js';
import { reflection } from './reflection.js';

/** The largest message that is received, bytes. */
const maxMessageBytes = 1024 * 1024;
const maxStreamsPerConnection = 256;

const channelOptions = {
  'grpc.enable_channelz': 0,
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_concurrent_streams': maxStreamsPerConnection,
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
} as const;

/** A service with what implements it. */
export interface Service {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** What an endpoint serves, to whom, and where. */
export interface EndpointOptions {
  readonly services: readonly Service[];
  readonly credentials: ServerCredentials;
  readonly guard: Guard;
  readonly listen: ListenOptions;
  /** Whether callers can ask what is served. */
  readonly reflection: boolean;
  /** How long a connection may be without a call, and how old it may become, ms; without end when absent. */
  readonly connectionLife?: { readonly idleMs: number; readonly ageMs: number };
  readonly clock: Clock;
}

/** A gRPC server on a port of its own, with health. */
export interface Endpoint {
  readonly port: number;
  /** Says on grpc.health.v1 whether to send work here. */
  setServing(serving: boolean): void;
  /** Takes no new calls, waits for those that are open, and ends them when the grace, ms, is over. */
  stop(graceMs: number): Promise<void>;
}

/** Opens an endpoint. It is not serving, as its health says, until {@link Endpoint.setServing}. */
export async function openEndpoint(options: EndpointOptions): Promise<Endpoint> {
  const connections = new Connections(options.listen.maxConnectionsPerAddress);
  const server = new Server({
    ...channelOptions,
    ...lifeOptions(options.connectionLife),
    interceptors: [guardInterceptor(options.guard, (peer) => connections.end(peer))],
  });
  const names = ['', ...options.services.map(({ definition }) => serviceName(definition))];
  const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, 'NOT_SERVING'])));
  const setServing = (serving: boolean): void => {
    for (const name of names) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  };
  const reflected = options.reflection ? reflection(names.slice(1)) : [];
  for (const { definition, implementation } of [...options.services, ...reflected])
    server.addService(definition, implementation);
  health.addToServer(server);
  const listener = await listen(server, options.credentials, options.listen, connections);
  return {
    port: listener.port,
    setServing,
    stop: (graceMs) => {
      setServing(false);
      return stop(server, listener, options.clock, graceMs);
    },
  };
}

function lifeOptions(life: EndpointOptions['connectionLife']): ServerOptions {
  if (life === undefined) return {};
  return {
    'grpc.max_connection_idle_ms': life.idleMs,
    'grpc.max_connection_age_ms': life.ageMs,
    'grpc.max_connection_age_grace_ms': life.idleMs,
  };
}

function stop(server: Server, listener: Listener, clock: Clock, graceMs: number): Promise<void> {
  listener.close();
  return new Promise((resolve) => {
    let timer: Timer | undefined = undefined;
    const finish = (): void => {
      timer?.cancel();
      server.forceShutdown();
      listener.destroy();
      resolve();
    };
    timer = clock.schedule(graceMs, finish);
    server.tryShutdown(finish);
  });
}

/** The full name of a service, from the path of any of its methods. */
function serviceName(definition: ServiceDefinition): string {
  const [method] = Object.values(definition);
  return method?.path.split('/')[1] ?? '';
}
