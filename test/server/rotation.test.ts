import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openAuthority } from '@muster/server/ca/authority.js';
import { issueCredential } from '@muster/server/ca/credential.js';
import { takeStep, type RotationStep } from '@muster/server/ca/rotation.js';
import { loadConfig, type ServerConfig } from '@muster/server/config/config.js';
import { startServer, type RunningServer } from '@muster/server/server.js';
import { openSqliteStore } from '@muster/server/store/sqlite.js';
import { loadProfile } from '@muster/cli/profile.js';
import { systemClock } from '@muster/shared/clock.js';
import type { MusterError } from '@muster/shared/errors.js';
import { CaRotationStage, SystemServiceService } from '@muster/shared/gen/muster/v1/system.js';
import type { ClientIdentity } from '@muster/shared/grpc/credentials.js';
import { stringify } from 'yaml';
import { call, connect } from '../support/grpc-client.js';
import { eventually } from '../support/live/wait.js';
import { silentLogger } from '../support/logger.js';

const { PREPARED, PROMOTED } = CaRotationStage;
let directory: string;
let config: ServerConfig;
let server: RunningServer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'muster-rotation-'));
  const exempt = { name: 'central', exempt: true, because: 'a test' };
  writeFileSync(join(directory, 'policy.yaml'), stringify({ servers: [exempt] }));
  const file = join(directory, 'server.yaml');
  writeFileSync(
    file,
    stringify({
      name: 'central',
      trust_domain: 'federation.example',
      data_directory: 'data',
      listen: { session: '127.0.0.1:0', enrollment: '127.0.0.1:0' },
      policy: 'policy.yaml',
      endorsements: { online: false },
    }),
  );
  config = loadConfig(file);
  server = await startServer(config, { clock: systemClock, logger: silentLogger });
});
afterEach(async () => {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function restart(): Promise<void> {
  await server.stop();
  server = await startServer(config, { clock: systemClock, logger: silentLogger });
}

/** Takes a step beside the server; returns the CAs that are trusted then, PEM. */
async function step(name: RotationStep, force = false): Promise<string> {
  const { data_directory: dataDirectory, trust_domain: trustDomain } = config;
  const store = await openSqliteStore(dataDirectory, 'administration');
  try {
    const context = { store, dataDirectory, trustDomain, clock: systemClock };
    await takeStep(context, name, force, async () => undefined);
    return (await openAuthority(store, dataDirectory, trustDomain, systemClock)).bundlePem;
  } finally {
    await store.close();
  }
}

async function credential(name: string): Promise<ClientIdentity> {
  const request = { role: 'operator', name, out: join(directory, name), lifetimeMs: 3_600_000 } as const;
  const { profile } = await issueCredential(config, request, systemClock);
  return loadProfile(profile).identity;
}

/** The stage that the server shows, or the code of the refusal. */
async function stageFor(identity: ClientIdentity): Promise<CaRotationStage | string> {
  const client = connect(server.sessionPort, identity);
  try {
    return (await call(client, SystemServiceService.getStatus, {})).caRotation?.stage ?? 'steady';
  } catch (error) {
    return (error as MusterError).code;
  } finally {
    client.close();
  }
}

describe('a server whose CA is rotated beside it', () => {
  it('follows every step while it runs', async () => {
    const old = await credential('olga');
    expect(await stageFor(old)).toBe('steady');
    const trustBundle = await step('prepare');
    await eventually('the next CA', async () => (await stageFor(old)) === PREPARED);
    await step('promote');
    // Who trusts only the previous CA does not know the server any more; who trusts both does.
    await eventually('another certificate', async () => (await stageFor(old)) === 'SERVER_UNREACHABLE');
    expect(await stageFor({ ...old, trustBundle })).toBe(PROMOTED);
    const renewed = await credential('oleg');
    expect(await stageFor(renewed)).toBe(PROMOTED);
    await step('retire', true);
    const refused = async (): Promise<boolean> =>
      (await stageFor({ ...old, trustBundle })) === 'SERVER_UNREACHABLE';
    await eventually('the previous CA to be gone', refused);
    expect(await stageFor(renewed)).toBe('steady');
  });

  it('comes back in every stage', async () => {
    const old = await credential('olga');
    const trustBundle = await step('prepare');
    await restart();
    expect(await stageFor(old)).toBe(PREPARED);
    await step('promote');
    await restart();
    expect(await stageFor({ ...old, trustBundle })).toBe(PROMOTED);
    const renewed = await credential('oleg');
    await step('retire', true);
    await restart();
    expect([await stageFor(renewed), await stageFor({ ...old, trustBundle })]).toEqual([
      'steady',
      'SERVER_UNREACHABLE',
    ]);
  });
});
