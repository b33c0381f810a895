import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { Command, CommandOutcome, SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';
import { trustBundleDigest } from '@muster/shared/pki/trust-bundle.js';
import { FakeMusterServer } from '../../support/fake-muster-server.js';
import { eventually } from '../../support/mailbox.js';
import { outcomeOf, sendCommand, stopJob, useSites } from '../../support/use-sites.js';

const sites = useSites();
const rootOf = ({ bundle }: FakeMusterServer): Buffer => new X509Certificate(bundle).raw;
const digestOf = (...servers: FakeMusterServer[]): Buffer =>
  Buffer.from(trustBundleDigest(servers.map(rootOf)), 'hex');

describe('a server of a later release', () => {
  it('is answered REJECTED to a kind of command that this agent does not know, and the next one is carried out', async () => {
    const { stream } = await sites.open();
    const known = Command.encode({ seq: 1n, id: 'command-1', action: undefined }).finish();
    const action = Buffer.from([((60 << 3) & 0x7f) | 0x82, (60 << 3) >> 7, 0]);
    const command = Command.decode(Buffer.concat([known, action]));
    stream.send({ $case: 'command', value: command });
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.REJECTED, expect.any(String)]);
    sendCommand(stream, 2n, stopJob('job-1'));
    expect(await outcomeOf(stream, 2n)).toEqual([CommandOutcome.APPLIED]);
  });

  it('may say more in its messages than this agent knows', () => {
    const welcome = SessionResponse.encode({
      message: { $case: 'heartbeatAck', value: { seq: 1n, leaseRenewed: true } },
    }).finish();
    const more = Buffer.concat([welcome, Buffer.from([0xfa, 0x03, 3, 1, 2, 3])]);
    expect(SessionResponse.decode(more).message).toMatchObject({ $case: 'heartbeatAck' });
  });

  it('that chooses a version which this agent does not speak is left', async () => {
    const site = await sites.start();
    const stream = await sites.server.sessions.next();
    const hello = await stream.next('hello');
    stream.send({ $case: 'welcome', value: { ...(await site.welcome(hello)), protocol: 2 } });
    await eventually(() => stream.ended);
    expect(site.session.state.reasons[0]?.code).toBe('SESSION_PROTOCOL');
  });
});

describe('the CAs that the server names', () => {
  it('are trusted from then on, and the server is told which', async () => {
    const next = await FakeMusterServer.start();
    const { server } = sites;
    const site = await sites.start();
    const stream = await server.sessions.next();
    const hello = await stream.next('hello');
    expect(hello.trustBundleDigest).toEqual(digestOf(server));
    stream.send({ $case: 'welcome', value: await site.welcome(hello) });
    const value = { certificates: [rootOf(server), rootOf(next)], issuerHash: server.caHash };
    stream.send({ $case: 'trustBundle', value });
    expect(await stream.next('trustBundleAck')).toEqual({ digest: digestOf(server, next) });
    stream.end();
    await eventually(() => site.session.state.active === undefined);
    await site.clock.advance(30_000);
    const again = await (await server.sessions.next()).next('hello');
    expect(again.trustBundleDigest).toEqual(digestOf(next, server));
    next.stop();
  });

  it('are not acknowledged when they are none, or the one that issues is not among them; the session goes on', async () => {
    const { stream } = await sites.open();
    const { server } = sites;
    const issuerHash = server.caHash;
    stream.send({ $case: 'trustBundle', value: { certificates: [], issuerHash } });
    stream.send({ $case: 'trustBundle', value: { certificates: [Buffer.from('x')], issuerHash } });
    stream.send({ $case: 'trustBundle', value: { certificates: [rootOf(server)], issuerHash: 'sha256:00' } });
    sendCommand(stream, 1n, stopJob('job-1'));
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
    expect(stream.inbox.waiting.filter(({ $case }) => $case === 'trustBundleAck')).toEqual([]);
  });
});
