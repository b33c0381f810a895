import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent, type AgentDependencies, type RunningAgent } from '@muster/agent/agent.js';
import { credentials } from '@grpc/grpc-js';
import { unary } from '@muster/agent/enrolment/unary.js';
import {
  LocalJobServiceClient,
  SessionState,
  type GetStatusResponse,
} from '@muster/shared/gen/muster/agent/v1/local.js';
import { refusal } from '@muster/shared/errors.js';
import { CommandOutcome, GoodbyeReason } from '@muster/shared/gen/muster/v1/agent.js';
import { useDirectory } from '../support/directory.js';
import { FakeClock } from '../support/fake-clock.js';
import { FakeMusterServer, type FakeSession } from '../support/fake-muster-server.js';
import { FakeVerifier } from '../support/fake-verifier.js';
import { silentLogger } from '../support/logger.js';
import { testPolicy } from '../support/policies.js';
import { fakeSource, fakeWelcome, siteConfig } from '../support/site.js';
import { outcomeOf, sendCommand } from '../support/use-sites.js';

const directory = useDirectory();
let server: FakeMusterServer;
let ending: AbortController;
let running: RunningAgent | undefined;
let starting: Promise<RunningAgent>;

beforeEach(async () => {
  server = await FakeMusterServer.start();
  ending = new AbortController();
  writeFileSync(join(directory.path, 'join-token'), 'join-secret');
});
afterEach(async () => {
  ending.abort();
  await running?.finished.catch(() => undefined);
  running = undefined;
  server.stop();
});

async function start(changes: Partial<AgentDependencies> = {}): Promise<RunningAgent> {
  running = await startAgent(siteConfig(server, testPolicy(), directory.path), {
    clock: new FakeClock(new Date()),
    random: () => 0.5,
    logger: silentLogger,
    signal: ending.signal,
    sources: [fakeSource()],
    verifiers: [new FakeVerifier('x-a')],
    ...changes,
  });
  return running;
}

async function openSession(): Promise<FakeSession> {
  const stream = await server.sessions.next();
  const hello = await stream.next('hello');
  stream.send({ $case: 'welcome', value: await fakeWelcome(server, hello) });
  return stream;
}

function status(): Promise<GetStatusResponse> {
  const client = new LocalJobServiceClient(
    `unix:${join(directory.path, 'run/agent.sock')}`,
    credentials.createInsecure(),
  );
  return unary<GetStatusResponse>((respond) => client.getStatus({}, respond)).finally(() => client.close());
}

describe('an agent', () => {
  it('enrols, opens its session and says on its socket how it stands', async () => {
    await start();
    const stream = await server.sessions.next();
    await stream.next('hello');
    expect(await status()).toMatchObject({
      participant: 'site-1',
      trustDomain: 'hospitals.example',
      session: SessionState.CONNECTING,
      jobs: [],
    });
  });

  it('row 6: does not start when evidence cannot be generated, and talks to nobody', async () => {
    const broken = fakeSource(() => Promise.reject(new Error('no device')));
    await expect(start({ sources: [broken] })).rejects.toThrow('failed to generate CC token');
    expect(server.calls).toEqual([]);
  });

  it('does not start when it may not enrol, and leaves no socket', async () => {
    server.answers.createChallenge = () => {
      throw refusal('JOIN_TOKEN_USED');
    };
    await expect(start()).rejects.toThrow(refusal('JOIN_TOKEN_USED').message);
    expect(existsSync(join(directory.path, 'run/agent.sock'))).toBe(false);
  });

  it.each([
    ['at start', 0],
    ['while it enrols', 1],
  ])('can be ended %s when its device hangs', async (_when, answers) => {
    const { attester } = fakeSource();
    let collections = 0;
    const hangs = new Promise<void>((resolve) => {
      const source = fakeSource((data) => {
        if (collections === answers) resolve();
        return (collections += 1) > answers ? new Promise(() => undefined) : attester.collect(data);
      });
      starting = start({ sources: [source] });
    });
    await hangs;
    ending.abort('SIGTERM');
    await expect(starting).rejects.toBe('SIGTERM');
    expect(existsSync(join(directory.path, 'run/agent.sock'))).toBe(false);
  });

  it('can be ended while it enrols', async () => {
    const clock = new FakeClock(new Date());
    server.answers.createChallenge = () => {
      throw refusal('RATE_LIMITED');
    };
    const starting = start({ clock });
    await clock.waitForTimers(1);
    ending.abort('SIGTERM');
    await expect(starting).rejects.toBe('SIGTERM');
  });

  it('says Goodbye when it is told to end', async () => {
    const { finished } = await start();
    const stream = await openSession();
    await stream.next('heartbeat');
    ending.abort('SIGTERM');
    expect(await stream.next('goodbye')).toEqual({ reason: GoodbyeReason.SHUTDOWN });
    await finished;
    expect(existsSync(join(directory.path, 'run/agent.sock'))).toBe(false);
  });

  it('ends when the server shuts it down', async () => {
    const { finished } = await start();
    const stream = await openSession();
    sendCommand(stream, 1n, { $case: 'shutdown', value: { grace: undefined, reasons: [] } });
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
    expect(await stream.next('goodbye')).toEqual({ reason: GoodbyeReason.SHUTDOWN });
    await finished;
  });

  it('ends with the reason when it was removed from the federation', async () => {
    const { finished } = await start();
    (await openSession()).fail(refusal('PARTICIPANT_REMOVED'));
    await expect(finished).rejects.toThrow(refusal('PARTICIPANT_REMOVED').message);
  });

  it('does not start when its socket would be open to others', async () => {
    const config = siteConfig(server, testPolicy(), directory.path);
    chmodSync(directory.path, 0o755);
    const open = { ...config, socket: join(directory.path, 'agent.sock') };
    await expect(
      startAgent(open, {
        clock: new FakeClock(new Date()),
        random: () => 0.5,
        logger: silentLogger,
        signal: ending.signal,
        sources: [fakeSource()],
      }),
    ).rejects.toThrow('must have mode 0700');
  });
});
