import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import {
  EnrollmentServiceService,
  type EnrollmentServiceServer,
} from '@muster/shared/gen/muster/v1/enrollment.js';
import { JobServiceService, type JobServiceServer } from '@muster/shared/gen/muster/v1/job.js';
import {
  ParticipantServiceService,
  type ParticipantServiceServer,
} from '@muster/shared/gen/muster/v1/participant.js';
import { SystemServiceService, type SystemServiceServer } from '@muster/shared/gen/muster/v1/system.js';
import { errorFields } from '@muster/shared/logging/logger.js';
import { openEndpoint, type Endpoint, type Service } from '../endpoints/endpoint.js';
import { EndpointCredentials } from '../endpoints/tls.js';
import { certificateAuthentication } from '../middleware/caller.js';
import type { Guard } from '../middleware/interceptor.js';
import { LiveCalls } from '../middleware/live-calls.js';
import { RateLimiter } from '../middleware/rate-limit.js';
import type { Foundation } from './foundation.js';

/** How many refused calls of one identity are written to the audit log; every one is logged. */
const deniedLimit = { rate: 1, burst: 20 };
/** Connections that nobody has authenticated do not stay, ms. */
const anonymousLife = { idleMs: 30_000, ageMs: 300_000 };

/** The implementations of the contract. */
export interface Services {
  readonly agent: Service;
  readonly enrollment: EnrollmentServiceServer;
  readonly job: JobServiceServer;
  readonly participant: ParticipantServiceServer;
  readonly system: SystemServiceServer;
}

/** The two ports of a server. */
export interface Endpoints {
  readonly session: Endpoint;
  readonly enrollment: Endpoint;
  /** The calls that are open on both. */
  readonly liveCalls: LiveCalls;
  /** Shows the server's latest certificate and takes the clients of every CA that is trusted now. */
  followCa(): void;
  /** Says on both ports whether to send work here. */
  setServing(serving: boolean): void;
  /** Ends both, with a grace for the calls that are open, ms. */
  stop(graceMs: number): Promise<void>;
}

/** Opens the mTLS port and the enrolment port, not serving yet. Errors: LISTEN_FAILED. */
export async function openEndpoints(foundation: Foundation, services: Services): Promise<Endpoints> {
  const { config, ca, certificate, clock } = foundation;
  const { listen, limits } = config;
  const mutual = new EndpointCredentials(certificate.tls, ca.bundlePem);
  const serverOnly = new EndpointCredentials(certificate.tls);
  const liveCalls = new LiveCalls();
  const session = await openEndpoint({
    services: [
      services.agent,
      service(JobServiceService, services.job),
      service(ParticipantServiceService, services.participant),
      service(SystemServiceService, services.system),
    ],
    credentials: mutual,
    guard: sessionGuard(foundation, liveCalls),
    listen: {
      ...listen.session,
      maxConnections: limits.connections,
      maxConnectionsPerAddress: limits.connections,
    },
    reflection: true,
    clock,
  });
  const enrollment = await openEndpoint({
    services: [service(EnrollmentServiceService, services.enrollment)],
    credentials: serverOnly,
    guard: anonymousGuard(foundation, liveCalls),
    listen: {
      ...listen.enrollment,
      maxConnections: limits.enrollment_connections,
      maxConnectionsPerAddress: limits.enrollment_connections_per_address,
    },
    reflection: false,
    connectionLife: anonymousLife,
    clock,
  }).catch(async (error: unknown) => {
    await session.stop(0);
    throw error;
  });
  const followCa = (): void => {
    mutual.replace(certificate.tls, ca.bundlePem);
    serverOnly.replace(certificate.tls);
  };
  const stopRenewal = certificate.keepFresh(followCa);
  return {
    session,
    enrollment,
    liveCalls,
    followCa,
    setServing(serving) {
      session.setServing(serving);
      enrollment.setServing(serving);
    },
    async stop(graceMs) {
      stopRenewal();
      await Promise.all([session.stop(graceMs), enrollment.stop(graceMs)]);
    },
  };
}

function service(definition: ServiceDefinition, implementation: object): Service {
  return { definition, implementation: implementation as UntypedServiceImplementation };
}

function sessionGuard(foundation: Foundation, liveCalls: LiveCalls): Guard {
  const { store, identity, clock } = foundation;
  return {
    ...anonymousGuard(foundation, liveCalls),
    authenticate: certificateAuthentication(store, identity.trustDomain, clock),
  };
}

function anonymousGuard({ config, store, audit, clock, logger }: Foundation, liveCalls: LiveCalls): Guard {
  const { calls_per_address, calls_per_caller } = config.limits;
  const limiter = (rate: number): RateLimiter => new RateLimiter({ rate, burst: 2 * rate }, clock);
  const denied = new RateLimiter(deniedLimit, clock);
  return {
    addressLimit: limiter(calls_per_address),
    callerLimit: limiter(calls_per_caller),
    liveCalls,
    async onDenied({ spiffeId }, path, { reasons }) {
      try {
        denied.take(spiffeId);
        await store.transaction((tx) =>
          audit.append(tx, {
            actor: spiffeId,
            action: 'rpc.call',
            subject: path,
            decision: 'refused',
            reasons,
          }),
        );
      } catch (error) {
        logger.error('rpc.failed', { path, ...errorFields(error) });
      }
    },
    logger,
    clock,
  };
}
