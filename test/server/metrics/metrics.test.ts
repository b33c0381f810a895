import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig } from '@muster/server/config/config.js';
import { openMetricsEndpoint, type MetricsEndpoint } from '@muster/server/metrics/endpoint.js';
import { serverMetrics, type Metric } from '@muster/server/metrics/measures.js';
import { newObservations } from '@muster/server/metrics/observations.js';
import { startServer, type RunningServer } from '@muster/server/server.js';
import { systemClock } from '@muster/shared/clock.js';
import { cached } from '@muster/shared/endorsements/cache.js';
import { stringify } from 'yaml';
import { FakeClock } from '../../support/fake-clock.js';
import { createFederation } from '../../support/federation.js';
import { silentLogger } from '../../support/logger.js';
import { memoryStore } from '../../support/store.js';

const listen = { host: '127.0.0.1', port: 0 };
const endpoints: MetricsEndpoint[] = [];
const documentation = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');

afterEach(async () => {
  await Promise.all(endpoints.splice(0).map((endpoint) => endpoint.stop()));
});

async function open(metrics: readonly Metric[]): Promise<string> {
  const endpoint = await openMetricsEndpoint(metrics, listen, silentLogger);
  endpoints.push(endpoint);
  return `http://127.0.0.1:${endpoint.port}`;
}

async function scrape(base: string): Promise<string[]> {
  const response = await fetch(`${base}/metrics`);
  expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  return (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('the metrics', () => {
  it('count what the server has seen and show what it holds', async () => {
    const federation = await createFederation();
    const { registry, store } = federation;
    await federation.enroll('site-1');
    registry.setLiveness('site-1', { connected: true });
    const observations = newObservations();
    const clock = new FakeClock();
    const expiresAt = new Date(clock.now().getTime() + 600_000);
    const cache = cached(
      { fetch: async () => ({ items: [], expiresAt }) },
      { clock, observe: (vendor, outcome) => observations.endorsementQueries.count({ vendor, outcome }) },
    );
    const query = { vendor: 'amd', kind: 'certificates', path: 'a' } as const;
    for (let time = 0; time < 3; time += 1) await cache.fetch(query);
    await clock.advance(30_000);
    observations.verdicts.count({ namespace: 'x-snp', outcome: 'accepted' });
    const base = await open(serverMetrics({ observations, cache, registry, store }));
    const lines = await scrape(base);
    expect(lines).toEqual(
      expect.arrayContaining([
        'muster_endorsement_queries_total{vendor="amd",outcome="miss"} 1',
        'muster_endorsement_queries_total{vendor="amd",outcome="hit"} 2',
        'muster_endorsement_entries{vendor="amd"} 1',
        'muster_endorsement_oldest_seconds{vendor="amd"} 30',
        'muster_endorsement_entries{vendor="intel"} 0',
        'muster_verdicts_total{namespace="x-snp",outcome="accepted"} 1',
        'muster_participants{standing="inadmissible"} 1',
        'muster_sessions 1',
        'muster_jobs{state="running"} 0',
        'muster_commands_outstanding 0',
      ]),
    );
    expect(await scrape(base)).toEqual(expect.arrayContaining([lines[0]]));
  });

  it('are all documented, and nothing else is', async () => {
    const { registry } = await createFederation();
    const measured = { observations: newObservations(), cache: undefined, registry };
    const metrics = serverMetrics({ ...measured, store: await memoryStore() });
    const documented = [...documentation.matchAll(/^\| `(muster_[a-z_]+)`/gm)].map(([, name = '']) => name);
    expect(documented.toSorted()).toEqual(metrics.map(({ name }) => name).toSorted());
  });

  it('are at one path, for one method', async () => {
    const base = await open([]);
    expect((await fetch(base)).status).toBe(404);
    expect((await fetch(`${base}/metrics`, { method: 'POST' })).status).toBe(405);
  });

  it('say that they failed, and nothing more', async () => {
    const failing: Metric = {
      name: 'muster_failing',
      type: 'gauge',
      help: 'Fails.',
      labels: [],
      read: async () => Promise.reject(new Error('secret')),
    };
    const response = await fetch(`${await open([failing])}/metrics`);
    expect([response.status, await response.text()]).toEqual([500, '']);
  });

  it('need an address that is free', async () => {
    const base = await open([]);
    const taken = { ...listen, port: Number(new URL(base).port) };
    await expect(openMetricsEndpoint([], taken, silentLogger)).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
    });
  });
});

describe('a server with metrics', () => {
  let directory: string;
  let server: RunningServer | undefined;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'muster-metrics-'));
    const exempt = { name: 'central', exempt: true, because: 'a test' };
    const policy = { servers: [exempt], sites: [{ name: '*', require: ['x-snp'] }] };
    writeFileSync(join(directory, 'policy.yaml'), stringify(policy));
  });
  afterEach(async () => {
    await server?.stop();
    rmSync(directory, { recursive: true });
  });

  const load = (metrics: object | undefined): ReturnType<typeof loadConfig> => {
    const file = join(directory, 'server.yaml');
    const config = {
      name: 'central',
      trust_domain: 'federation.example',
      data_directory: 'data',
      listen: { session: '127.0.0.1:0', enrollment: '127.0.0.1:0' },
      policy: 'policy.yaml',
      ...(metrics !== undefined && { metrics }),
    };
    writeFileSync(file, stringify(config));
    return loadConfig(file);
  };
  const start = async (metrics?: object): Promise<RunningServer> =>
    (server = await startServer(load(metrics), { clock: systemClock, logger: silentLogger }));

  it('serves them as long as it runs', async () => {
    const running = await start({ listen: '127.0.0.1:0' });
    const base = `http://127.0.0.1:${running.metricsPort}`;
    expect(await scrape(base)).toContain('muster_participants{standing="admissible"} 1');
    await running.stop();
    await expect(fetch(`${base}/metrics`)).rejects.toThrow();
  });

  it('has none unless it is told to', async () => {
    expect((await start()).metricsPort).toBeUndefined();
  });

  it.each(['0.0.0.0:9464', '10.1.2.3:9464', 'metrics.example:9464'])(
    'keeps them to itself: %s',
    (address) => {
      expect(() => load({ listen: address })).toThrow(/loopback/);
      expect(load({ listen: address, expose: true }).metrics?.listen.port).toBe(9464);
    },
  );

  it.each(['127.0.0.1:9464', 'localhost:9464', '[::1]:9464'])('takes a loopback address: %s', (address) => {
    expect(load({ listen: address }).metrics?.listen.port).toBe(9464);
  });
});
