import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SessionRequest } from '@muster/shared/gen/muster/v1/agent.js';
import {
  createSessions,
  heartbeatMs,
  type AgentStream,
  type SessionFederation,
} from '../../support/session-federation.js';
import type { Presenter } from '../../support/tokens.js';
import { until } from '../../support/until.js';

const digest = (byte: number): Buffer => Buffer.alloc(32, byte);
let server: SessionFederation;
let site: Presenter;

beforeEach(async () => {
  server = await createSessions();
  server.ca.bundle = [Buffer.from('root 1')];
  server.ca.bundleDigest = digest(1).toString('hex');
  site = await server.enroll('site-1');
});
afterEach(() => server.hub.stop());

const open = (trustBundleDigest: Buffer): Promise<AgentStream> => server.open(site, { trustBundleDigest });
const acknowledge = (stream: AgentStream, of: Buffer): void =>
  stream.say({ $case: 'trustBundleAck', value: { digest: of } });
const onRecord = async (): Promise<string | undefined> => {
  const row = await server.store.transaction((tx) =>
    tx.selectFrom('participants').select('trust_bundle').where('name', '=', 'site-1').executeTakeFirst(),
  );
  return row?.trust_bundle;
};
/** Lets what was said take effect: messages are handled in order. */
const settled = (stream: AgentStream, beat: number): Promise<unknown> => stream.beat(beat);

/** The next CA is trusted, too. */
function prepare(): void {
  server.ca.bundle = [Buffer.from('root 1'), Buffer.from('root 2')];
  server.ca.bundleDigest = digest(2).toString('hex');
}

describe('the CAs to trust', () => {
  it('are not told to an agent that trusts them, which is recorded by its Hello', async () => {
    const stream = await open(digest(1));
    await settled(stream, 1);
    server.trust.push();
    expect(stream.first('trustBundle')).toBeUndefined();
    expect(await onRecord()).toBe(digest(1).toString('hex'));
  });

  it('are told to an agent that connects with others, until it says that it trusts them', async () => {
    prepare();
    const stream = await open(digest(1));
    await until(() => stream.first('trustBundle') !== undefined);
    expect(stream.first('trustBundle')).toEqual({
      certificates: [Buffer.from('root 1'), Buffer.from('root 2')],
      issuerHash: 'sha256:00',
    });
    acknowledge(stream, digest(2));
    await settled(stream, 1);
    expect(await onRecord()).toBe(digest(2).toString('hex'));
    await server.clock.advance(heartbeatMs);
    server.trust.push();
    expect(stream.all('trustBundle')).toHaveLength(1);
  });

  it('are told to those that are connected when they change, and again when one does not follow', async () => {
    const stream = await open(digest(1));
    prepare();
    server.trust.push();
    server.trust.push();
    await until(() => stream.all('trustBundle').length === 1);
    for (let beat = 1; beat <= 6; beat += 1) {
      await server.clock.advance(heartbeatMs);
      await stream.beat(beat);
    }
    server.trust.push();
    await until(() => stream.all('trustBundle').length === 2);
    expect(await onRecord()).toBe(digest(1).toString('hex'));
  });

  it('are told again when another CA issues, to an agent whose certificate is of the one before', async () => {
    prepare();
    const stream = await open(digest(2));
    server.ca.active = { ...server.ca.active, number: 2, hash: 'sha256:02' };
    server.trust.push();
    await until(() => stream.first('trustBundle') !== undefined);
    expect(stream.first('trustBundle')?.issuerHash).toBe('sha256:02');
  });

  it('are not told to an agent of an older release, which is waited for', async () => {
    prepare();
    const stream = await open(Buffer.alloc(0));
    server.trust.push();
    await settled(stream, 1);
    expect(stream.first('trustBundle')).toBeUndefined();
    expect(await onRecord()).toBe('');
  });

  it('are not acknowledged by a session that a newer one has fenced', async () => {
    const old = await open(digest(1));
    const newer = await open(digest(1));
    await server.trust.acknowledged('site-1', Number(old.first('welcome')?.epoch), digest(9));
    await settled(newer, 1);
    expect(await onRecord()).toBe(digest(1).toString('hex'));
  });

  it('cannot be named by a digest of another length', async () => {
    const stream = await open(digest(1));
    acknowledge(stream, Buffer.alloc(31));
    expect((await stream.end())?.code).toBe('SESSION_PROTOCOL');
    const greeted = await open(Buffer.alloc(5));
    expect((await greeted.end())?.code).toBe('SESSION_PROTOCOL');
  });

  it('cannot be acknowledged before Hello', async () => {
    const stream = server.stream(site);
    const message = { $case: 'trustBundleAck', value: { digest: digest(1) } } as const;
    stream.sayBytes(SessionRequest.encode({ message }).finish());
    expect((await stream.end())?.code).toBe('SESSION_PROTOCOL');
  });
});
