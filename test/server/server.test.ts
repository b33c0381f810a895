import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { issueCredential } from '@muster/server/ca/credential.js';
import { loadConfig, type ServerConfig } from '@muster/server/config/config.js';
import { startServer, type RunningServer } from '@muster/server/server.js';
import { loadProfile } from '@muster/cli/profile.js';
import { systemClock } from '@muster/shared/clock.js';
import type { MusterError } from '@muster/shared/errors.js';
import { ParticipantServiceService } from '@muster/shared/gen/muster/v1/participant.js';
import { SystemServiceService } from '@muster/shared/gen/muster/v1/system.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { stringify } from 'yaml';
import { call, connect } from '../support/grpc-client.js';
import { silentLogger } from '../support/logger.js';

const environment = { clock: systemClock, logger: silentLogger };
let directory: string;
const started: RunningServer[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'muster-server-'));
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.stop()));
  rmSync(directory, { recursive: true, force: true });
});

const exempt = { name: 'central', exempt: true, because: 'a test' };

function configure(servers: object[] = [exempt], change: object = {}): ServerConfig {
  writeFileSync(
    join(directory, 'policy.yaml'),
    stringify({ servers, sites: [{ name: '*', require: ['x-snp'] }] }),
  );
  const file = join(directory, 'server.yaml');
  const config = {
    name: 'central',
    trust_domain: 'federation.example',
    data_directory: 'data',
    listen: { session: '127.0.0.1:0', enrollment: '127.0.0.1:0' },
    policy: 'policy.yaml',
    endorsements: { online: false },
    ...change,
  };
  writeFileSync(file, stringify(config));
  return loadConfig(file);
}

async function start(config = configure()): Promise<RunningServer> {
  const server = await startServer(config, environment);
  started.push(server);
  return server;
}

async function operator(server: RunningServer): Promise<ReturnType<typeof connect>> {
  const out = join(directory, 'olga');
  const request = { role: 'operator', name: 'olga', out, lifetimeMs: 3_600_000 } as const;
  const { profile } = await issueCredential(configure(), request, systemClock);
  return connect(server.sessionPort, loadProfile(profile).identity);
}

describe('a server', () => {
  it('serves an operator whose credential was issued while it runs, and says that it is exempt', async () => {
    const server = await start();
    const client = await operator(server);
    const status = await call(client, SystemServiceService.getStatus, {});
    expect(status).toMatchObject({
      serverName: 'central',
      trustDomain: 'federation.example',
      serverExempt: true,
      simulated: false,
    });
    const { records } = await call(client, SystemServiceService.listAuditRecords, {
      fromSeq: 1n,
      pageSize: 0,
    });
    expect(records[0]?.content).toContain('exempt central: a test');
    client.close();
  });

  it('keeps its CA and its participants across a restart', async () => {
    const server = await start();
    const client = await operator(server);
    const request = { participant: 'site-1', ttl: undefined };
    const { caHash } = await call(client, ParticipantServiceService.createJoinToken, request);
    client.close();
    await server.stop();
    const again = await start();
    const other = connect(again.sessionPort, loadProfile(join(directory, 'olga', 'profile.yaml')).identity);
    const { participants } = await call(other, ParticipantServiceService.listParticipants, {});
    expect(participants.map(({ name }) => name)).toEqual(['central', 'site-1']);
    expect((await call(other, SystemServiceService.getStatus, {})).caHash).toBe(caHash);
    other.close();
  });

  it('ends when an operator shuts the system down, after it has answered', async () => {
    const server = await start();
    const client = await operator(server);
    const request = { deadline: toDuration(1000), comment: 'the end' };
    expect(await call(client, SystemServiceService.shutdown, request)).toEqual({ sites: [] });
    await server.finished;
    client.close();
  });
});

describe('a server does not start', () => {
  const refusal = (starting: Promise<unknown>): Promise<MusterError> =>
    starting.then(
      () => {
        throw new Error('it started');
      },
      (error: unknown) => error as MusterError,
    );

  it('when it cannot prove itself', async () => {
    const config = configure([{ name: 'central', require: ['x-snp'] }]);
    const { code, message } = await refusal(start(config));
    expect(code).toBe('ATTESTATION_GENERATION_FAILED');
    expect(message).toContain('failed to generate CC token');
  });

  it('when the policy does not list it', async () => {
    const { code } = await refusal(start(configure([{ ...exempt, name: 'other' }])));
    expect(code).toBe('POLICY_PARTICIPANT_UNLISTED');
  });

  it('when another server uses its data directory', async () => {
    await start();
    expect((await refusal(start())).code).toBe('STORE_UNAVAILABLE');
  });

  it('when its port is taken, and then leaves the data directory free', async () => {
    const other = createServer().listen({ host: '127.0.0.1', port: 0 });
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const listen = { session: '127.0.0.1:0', enrollment: `127.0.0.1:${port}` };
    expect((await refusal(start(configure([exempt], { listen })))).code).toBe('LISTEN_FAILED');
    other.close();
    await start();
  });

  it('when its trust domain is not the one of its data directory', async () => {
    await (await start()).stop();
    const config = configure([exempt], { trust_domain: 'other.example' });
    expect((await refusal(start(config))).code).toBe('CONFIG_INVALID');
  });
});
