import { describe, expect, it } from '@jest/globals';
import { CommandOutcome } from '@muster/shared/gen/muster/v1/agent.js';
import { checkJob } from '../../support/check-job.js';
import { FakeMusterServer } from '../../support/fake-muster-server.js';
import { eventually } from '../../support/mailbox.js';
import { participantTokens, type Site } from '../../support/site.js';
import { outcomeOf, sendCommand, stopJob, useSites } from '../../support/use-sites.js';

const sites = useSites();

describe('the server of a session', () => {
  it.each(['site', 'operator'] as const)(
    'is refused with a certificate of the role %s: nothing reaches it',
    async (role) => {
      sites.server.stop();
      sites.server = await FakeMusterServer.start({ role, name: 'site-9' });
      const site = await sites.start();
      await eventually(() => site.session.state.failures > 0);
      expect(site.session.state.reasons[0]?.message).toMatch(/not a server|unsuitable certificate purpose/);
      expect(sites.server.sessions.waiting).toEqual([]);
    },
  );

  it('is refused with a certificate of another CA', async () => {
    const other = await FakeMusterServer.start();
    other.stop();
    const site = await sites.start({ trustBundle: other.bundle });
    await eventually(() => site.session.state.failures > 0);
    expect(site.session.state.reasons[0]?.code).toBe('SERVER_UNREACHABLE');
    expect(sites.server.sessions.waiting).toEqual([]);
  });

  it.each<[string, Parameters<Site['open']>]>([
    ['proves nothing', [{ serverAttestation: undefined }]],
    ['is refused by its evidence', [{}, { tier: 'contraindicated' }]],
  ])('is not proven when it %s: no job is permitted, and stops are heard', async (_what, welcome) => {
    const site = await sites.start();
    const stream = await site.open(...welcome);
    const server = site.session.server;
    expect((await server?.standing)?.[0]?.code).toBe('SERVER_UNPROVEN');
    sendCommand(stream, 1n, await checkJob(sites.server, site));
    const check = await stream.next('jobCheck');
    expect([check.accepted, check.reasons[0]?.code]).toEqual([false, 'SERVER_UNPROVEN']);
    const permit = await site.permit('job-1', 1n, ['site-1', 'site-2']);
    sendCommand(stream, 2n, { $case: 'permitJob', value: { permit } });
    expect((await outcomeOf(stream, 2n)).slice(0, 2)).toEqual([CommandOutcome.REJECTED, 'SERVER_UNPROVEN']);
    sendCommand(stream, 3n, stopJob('job-1'));
    expect(await outcomeOf(stream, 3n)).toEqual([CommandOutcome.APPLIED]);
    await site.clock.advance(60_000);
    expect((await server?.standing)?.length).toBeGreaterThan(0);
    await site.open();
  });

  it('is not proven by evidence that is bound to another key', async () => {
    const site = await sites.start();
    const stream = await sites.server.sessions.next();
    const hello = await stream.next('hello');
    const audience = 'spiffe://hospitals.example/site/site-1';
    const relayed = await participantTokens('server', true, { audience, nonce: hello.nonce });
    stream.send({ $case: 'welcome', value: { ...(await site.welcome(hello)), serverAttestation: relayed } });
    await stream.next('heartbeat');
    const standing = await site.session.server?.standing;
    expect(standing?.map(({ code }) => code)).toEqual(['SERVER_UNPROVEN', 'TOKEN_SIGNATURE_INVALID']);
  });

  it('is not proven by the answer to another nonce', async () => {
    const site = await sites.start();
    const stream = await sites.server.sessions.next();
    const hello = await stream.next('hello');
    const replayed = await site.welcome({ ...hello, nonce: Buffer.alloc(32, 7) });
    stream.send({ $case: 'welcome', value: replayed });
    await stream.next('heartbeat');
    const standing = await site.session.server?.standing;
    expect(standing?.map(({ code }) => code)).toEqual(['SERVER_UNPROVEN', 'TOKEN_NONCE_MISMATCH']);
  });
});
