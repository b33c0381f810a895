// The server under test: the real parts, composed as `muster-server serve` composes them.
import { openEndpoints, type Endpoints } from '@muster/server/composition/endpoints.js';
import { openFoundation, type Foundation } from '@muster/server/composition/foundation.js';
import { composeParts, type Parts } from '@muster/server/composition/parts.js';
import { composeServices } from '@muster/server/composition/services.js';
import { serverCheck } from '@muster/server/admission/server-check.js';
import { configSchema } from '@muster/server/config/schema.js';
import { unary } from '@muster/server/middleware/handlers.js';
import { systemClock } from '@muster/shared/clock.js';
import { verifiers } from '@muster/shared/evidence/verifiers.js';
import { createLogger } from '@muster/shared/logging/logger.js';
import { GetStatusResponse } from '@muster/shared/gen/muster/v1/system.js';
import { FakeVerifier } from '../../support/fake-verifier.js';
import { testPolicy } from '../../support/policies.js';
import { trustDomain } from '../federation.js';
import { pooled } from '../measure.js';
import { serveDriver } from './host.js';

/** How a server under test is set up. */
export interface MusterOptions {
  readonly dataDirectory: string;
  /** What sites must prove: SNP evidence, or a token around evidence that costs nothing to verify. */
  readonly namespace: 'x-snp' | 'x-a';
  readonly endorsements: string;
  readonly simulatedRoot: string;
  /** 0 for any free port. */
  readonly port: number;
}

const serverName = 'central';
const operator = `spiffe://${trustDomain}/operator/bench`;

interface Running {
  readonly foundation: Foundation;
  readonly parts: Parts;
  readonly endpoints: Endpoints;
}

let running: Running | undefined;
let challenged = 0;
let stopLoad = (): void => undefined;

serveDriver({
  start: async (options: MusterOptions) => {
    running = await start(options);
    return running.endpoints.session.port;
  },
  connected: () => sites().length,
  refresh: async ({ count, width }: { count: number; width: number }) => {
    const names = sites();
    const turns = Array.from({ length: count }, (_, index) => names[index % names.length] ?? '');
    await pooled(turns, width, (name) => server().parts.attestation.sites.challenge(name));
  },
  startLoad: (perSecond: number) => {
    const names = sites();
    const began = performance.now();
    challenged = 0;
    const timer = setInterval(() => {
      const due = Math.floor(((performance.now() - began) / 1000) * perSecond);
      for (; challenged < due; challenged += 1) {
        void server().parts.attestation.sites.challenge(names[challenged % names.length] ?? '');
      }
    }, 5);
    stopLoad = () => clearInterval(timer);
  },
  stopLoad: () => {
    stopLoad();
    return challenged;
  },
  decide: ({ participants, times }: { participants: readonly string[]; times: number }) => {
    for (let turn = 0; turn < times; turn += 1) decide(participants);
  },
  admit: async ({ id, participants }: { id: string; participants: readonly string[] }) => {
    const { admission } = server().parts.jobs;
    await admission.submit({ id, spec: { participants, byoc: false, name: '' }, submitter: operator });
    const { state } = await admission.admit(id, operator);
    if (state.phase !== 'admitted')
      throw new Error(`${id} is ${state.phase}: ${JSON.stringify(state.reasons)}`);
  },
  stopAll: () => server().parts.jobs.admission.stopAll([], operator),
});

async function start(options: MusterOptions): Promise<Running> {
  const {
    policy: _policy,
    simulated_roots: _roots,
    ...config
  } = configSchema.parse({
    name: serverName,
    trust_domain: trustDomain,
    data_directory: options.dataDirectory,
    listen: { session: `127.0.0.1:${options.port}`, enrollment: '127.0.0.1:0' },
    policy: 'none',
    endorsements: { offline_directory: options.endorsements, online: false },
    verification: { period: '12h' },
    session: { challenge_timeout: '5m', heartbeat_interval: '1m', lease_ttl: '10m' },
    limits: { calls_per_caller: 1_000_000, calls_per_address: 1_000_000 },
    log: { level: process.env['MUSTER_BENCH_LOG'] ?? 'error' },
  });
  const policy = testPolicy({
    servers: [{ name: serverName, exempt: true, because: 'the benchmark' }],
    sites: [{ name: '*', require: [options.namespace] }],
    token_lifetime: 86_400_000,
  });
  const simulatedRoots = [{ namespace: 'x-snp', fingerprint: options.simulatedRoot }];
  const foundation = await openFoundation(
    { ...config, policy, policyDigest: '0'.repeat(64), simulatedRoots },
    {
      clock: systemClock,
      logger: createLogger('server', config.log),
      verifiers: [...verifiers, new FakeVerifier('x-a')],
    },
  );
  const parts = composeParts(foundation, () => undefined);
  await parts.jobs.admission.start();
  await parts.attestation.verification.start();
  await parts.hub.start();
  const services = composeServices(foundation, parts.attestation, parts.jobs, parts.hub);
  // Two calls with the whole way through endpoint, authentication and authorization, and nothing else beside a decision.
  const empty = GetStatusResponse.fromPartial({});
  const system = {
    ...services.system,
    getStatus: unary(async () => empty),
    getKeys: unary(async () => ({ jwks: decide(probed).length === 0 ? '' : 'refused' })),
  };
  const endpoints = await openEndpoints(foundation, { ...services, system });
  endpoints.setServing(true);
  return { foundation, parts, endpoints };
}

/** The participants of the decisions that are asked for over gRPC. */
const probed = Array.from({ length: 100 }, (_, index) => `site-${index}`);

function server(): Running {
  if (running === undefined) throw new Error('the server was not started');
  return running;
}

function sites(): readonly string[] {
  const { foundation } = server();
  return foundation.registry
    .all()
    .filter(({ connected }) => connected)
    .map(({ name }) => name);
}

function decide(participants: readonly string[]): ReturnType<typeof serverCheck> {
  return serverCheck(
    { participants, byoc: false, name: '' },
    { registry: server().foundation.registry, serverName },
    new Date(),
  );
}
