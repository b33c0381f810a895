import { openMetricsEndpoint, type MetricsEndpoint } from '../metrics/endpoint.js';
import { serverMetrics } from '../metrics/measures.js';
import type { EndorsementParts } from './endorsements.js';
import type { Foundation } from './foundation.js';

/** Serves the server's metrics where the configuration says so. Errors: LISTEN_FAILED. */
export async function openMetrics(
  { config, observations, registry, store, logger }: Foundation,
  { online }: EndorsementParts,
): Promise<MetricsEndpoint | undefined> {
  if (config.metrics === undefined) return undefined;
  const metrics = serverMetrics({ observations, cache: online?.cache, registry, store });
  return openMetricsEndpoint(metrics, config.metrics.listen, logger);
}
