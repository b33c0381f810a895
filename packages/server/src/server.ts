import { errorFields } from '@muster/shared/logging/logger.js';
import { openEndpoints, type Endpoints } from './composition/endpoints.js';
import { openFoundation, type Environment, type Foundation } from './composition/foundation.js';
import { composeParts } from './composition/parts.js';
import { composeServices } from './composition/services.js';
import { openMetrics } from './composition/metrics.js';
import { startUpkeep } from './composition/upkeep.js';
import type { ServerConfig } from './config/config.js';
import type { MetricsEndpoint } from './metrics/endpoint.js';
import { version } from './version.js';

/** How long calls that are open may take to end when the server stops, ms. */
const stopGraceMs = 3_000;

/** A server that serves. */
export interface RunningServer {
  /** The port of the mTLS endpoint. */
  readonly sessionPort: number;
  /** The port of the enrolment endpoint. */
  readonly enrollmentPort: number;
  /** The port of the metrics; absent where none are configured. */
  readonly metricsPort?: number;
  /** Resolves when the server has ended, by {@link stop} or by SystemService.Shutdown. */
  readonly finished: Promise<void>;
  /** Ends the server in order; agents and their jobs go on until their leases end. */
  stop(): Promise<void>;
}

/**
 * Starts a server. It proves itself before it serves anybody.
 * Errors: STORE_*, LISTEN_FAILED, CONFIG_INVALID; why the server cannot prove itself.
 */
export async function startServer(config: ServerConfig, environment: Environment): Promise<RunningServer> {
  const foundation = await openFoundation(config, environment);
  try {
    return await serve(foundation);
  } catch (error) {
    await foundation.store.close();
    throw error;
  }
}

async function serve(foundation: Foundation): Promise<RunningServer> {
  const { config, logger } = foundation;
  let server: RunningServer | undefined = undefined;
  const { jobs, attestation, hub, trust } = composeParts(foundation, () => void server?.stop());
  const { admission } = jobs;
  const { verification } = attestation;
  const stopParts = (): void => {
    hub.stop();
    verification.stop();
  };

  let endpoints: Endpoints;
  let metrics: MetricsEndpoint | undefined;
  try {
    // The jobs come first: a proof that ended while the server was down takes their permission back.
    await admission.start();
    await verification.start();
    await recordStart(foundation);
    await hub.start();
    metrics = await openMetrics(foundation, attestation.endorsements);
    endpoints = await openEndpoints(foundation, composeServices(foundation, attestation, jobs, hub));
  } catch (error) {
    stopParts();
    await metrics?.stop();
    throw error;
  }
  const stopUpkeep = startUpkeep(foundation, endpoints, trust);
  server = running(foundation, endpoints, metrics, () => {
    stopUpkeep();
    stopParts();
  });
  endpoints.setServing(true);
  logger.info('server.started', {
    name: config.name,
    version,
    session_port: endpoints.session.port,
    enrollment_port: endpoints.enrollment.port,
  });
  return server;
}

function running(
  foundation: Foundation,
  endpoints: Endpoints,
  metrics: MetricsEndpoint | undefined,
  stopParts: () => void,
): RunningServer {
  const { store, logger } = foundation;
  let resolveFinished: () => void;
  const finished = new Promise<void>((resolve) => {
    resolveFinished = resolve;
  });
  const end = async (): Promise<void> => {
    logger.info('server.stopping');
    endpoints.setServing(false);
    stopParts();
    await endpoints.stop(stopGraceMs);
    await metrics?.stop();
    await store.close();
    logger.info('server.stopped');
  };
  let stopping: Promise<void> | undefined;
  return {
    sessionPort: endpoints.session.port,
    enrollmentPort: endpoints.enrollment.port,
    ...(metrics !== undefined && { metricsPort: metrics.port }),
    finished,
    stop() {
      stopping ??= end()
        .catch((error: unknown) => logger.error('server.failed', errorFields(error)))
        .finally(() => resolveFinished());
      return stopping;
    },
  };
}

/** Whom the policy trusts without proof, and whether devices may be simulated, is on record from the start. */
async function recordStart({ config, spiffeId, store, audit, logger }: Foundation): Promise<void> {
  const { name, policy, policyDigest, simulatedRoots } = config;
  const exempt = [...policy.servers, ...policy.sites].filter((rule) => rule.exempt === true);
  const simulated = [...new Set(simulatedRoots.map(({ namespace }) => namespace))];
  const facts = [
    `policy sha256:${policyDigest}`,
    ...exempt.map((rule) => `exempt ${rule.name}: ${rule.because}`),
    ...simulated.map((namespace) => `simulated devices accepted for ${namespace}`),
  ];
  if (simulated.length > 0) logger.warn('server.simulated_roots_accepted', { namespaces: simulated });
  await store.transaction((tx) =>
    audit.append(tx, {
      actor: spiffeId,
      action: 'server.start',
      subject: name,
      decision: 'done',
      reasons: [],
      comment: facts.join('; '),
    }),
  );
}
