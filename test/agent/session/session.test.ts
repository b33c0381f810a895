import { describe, expect, it } from '@jest/globals';
import { jobsDigest } from '@muster/agent/session/session.js';
import { refusal } from '@muster/shared/errors.js';
import { CommandOutcome, GoodbyeReason, SiteJobState } from '@muster/shared/gen/muster/v1/agent.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { reason } from '@muster/shared/reasons.js';
import { openAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import type { FakeSession } from '../../support/fake-muster-server.js';
import { eventually } from '../../support/mailbox.js';
import { fakeSource, type Site } from '../../support/site.js';
import { outcomeOf, sendCommand, stopJob, useSites } from '../../support/use-sites.js';

const sites = useSites();

describe('a session', () => {
  it('says who it is, earns its lease and leaves with a Goodbye', async () => {
    const site = await sites.start();
    site.jobs.run('job-7', 3n);
    const stream = await sites.server.sessions.next();
    const hello = await stream.next('hello');
    expect(hello).toMatchObject({
      protocolMin: 1,
      protocolMax: 1,
      lastEpoch: 0n,
      logId: '',
      appliedSeq: 0n,
      runningJobs: [],
      namespaces: ['x-a'],
    });
    expect(hello.nonce).toHaveLength(32);
    site.jobs.run('job-7', 3n);
    stream.send({ $case: 'welcome', value: await site.welcome(hello) });
    const heartbeat = await stream.next('heartbeat');
    expect(heartbeat).toMatchObject({ seq: 1n, ackedThrough: 0n });
    expect(heartbeat.jobsDigest).toEqual(jobsDigest([{ jobId: 'job-7', generation: 3n }]));
    await eventually(() => site.session.leaseLeftMs === 60_000);
    const left = site.session.leave(1_000);
    expect(await stream.next('goodbye')).toEqual({ reason: GoodbyeReason.SHUTDOWN });
    await left;
  });

  it('resumes where it was after the stream broke', async () => {
    const { site, stream } = await sites.open();
    sendCommand(stream, 1n, stopJob('job-1'));
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
    stream.fail(refusal('SHUTTING_DOWN'));
    await eventually(() => site.session.state.active === undefined);
    await site.clock.advance(30_000);
    const again = await sites.server.sessions.next();
    expect(await again.next('hello')).toMatchObject({ lastEpoch: 1n, logId: 'log-1', appliedSeq: 1n });
  });

  it('repeats an acknowledgement that got lost with its stream', async () => {
    const { site, stream } = await sites.open();
    stream.heartbeats = 'ignore';
    sendCommand(stream, 1n, stopJob('job-1'));
    await outcomeOf(stream, 1n);
    stream.end();
    await eventually(() => site.session.state.active === undefined);
    await site.clock.advance(30_000);
    expect(await outcomeOf(await site.open(), 1n)).toEqual([CommandOutcome.APPLIED]);
  });

  it('delivers what happened to jobs while there was no session', async () => {
    const { site, stream } = await sites.open();
    stream.end();
    await eventually(() => site.session.state.active === undefined);
    site.jobs.report({ jobId: 'job-1', generation: 2n, state: 'FAILED', exitCode: 9, reasons: [] });
    await site.clock.advance(30_000);
    const report = await (await site.open()).next('jobReport');
    expect(report).toMatchObject({ jobId: 'job-1', generation: 2n, state: SiteJobState.FAILED, exitCode: 9 });
  });

  it('opens the new session before it leaves a server that drains', async () => {
    const { site, stream } = await sites.open();
    stream.send({ $case: 'drain', value: { reconnectAfter: toDuration(2_000) } });
    await eventually(() => site.session.state.connectAt !== undefined);
    await site.clock.advance(2_000);
    const next = await site.open();
    expect(await stream.next('goodbye')).toEqual({ reason: GoodbyeReason.HANDOVER });
    sendCommand(next, 1n, stopJob('job-1'));
    expect(await outcomeOf(next, 1n)).toEqual([CommandOutcome.APPLIED]);
  });

  it('ends on a Welcome that is garbage, and comes back later', async () => {
    const site = await sites.start();
    const stream = await sites.server.sessions.next();
    const hello = await stream.next('hello');
    stream.send({ $case: 'welcome', value: { ...(await site.welcome(hello)), leaseTtl: undefined } });
    await eventually(() => stream.ended);
    expect(site.session.state.reasons[0]?.code).toBe('SESSION_PROTOCOL');
    await site.clock.advance(30_000);
    await site.open();
  });

  it('ends on a message that it cannot read', async () => {
    const { stream } = await sites.open();
    stream.send(undefined);
    await eventually(() => stream.ended);
  });

  it('gets its certificate anew when the server does not accept it any more', async () => {
    const renewals: string[] = [];
    const site = await sites.start({
      enrol: async () => {
        renewals.push('enrolled');
        return site.enrolment();
      },
    });
    (await site.open()).fail(refusal('CERTIFICATE_REVOKED'));
    await eventually(() => renewals.length === 1);
    await site.open();
  });

  it('tells its owner when the participant was removed', async () => {
    const { site, stream } = await sites.open();
    stream.fail(refusal('PARTICIPANT_REMOVED'));
    await eventually(() => site.failures.length === 1);
    expect(site.failures[0]?.code).toBe('PARTICIPANT_REMOVED');
  });
});

describe('the lease', () => {
  it('stops all jobs when the server is silent', async () => {
    const { site, stream } = await sites.open();
    await eventually(() => site.session.leaseLeftMs !== undefined);
    site.jobs.run('job-1', 1n);
    stream.heartbeats = 'ignore';
    await site.clock.advance(59_999);
    expect(site.jobs.running()).toHaveLength(1);
    await site.clock.advance(1);
    expect(site.jobs.stops).toEqual([{ jobId: 'job-1', upTo: 1n, reasons: [reason('LEASE_EXPIRED')] }]);
    expect(site.session.leaseLeftMs).toBeUndefined();
  });

  it('stops all jobs when it is not renewed although the server answers', async () => {
    const { site, stream } = await sites.open();
    await eventually(() => site.session.leaseLeftMs !== undefined);
    site.jobs.run('job-1', 1n);
    stream.heartbeats = 'refuse';
    for (let beats = 0; beats < 6; beats += 1) {
      await site.clock.advance(10_000);
      await stream.next('heartbeat');
      const { heartbeats } = site.session.state.active ?? {};
      await eventually(() => site.session.state.active?.heartbeats.unanswered.length === 0);
      expect(heartbeats).toBeDefined();
    }
    expect(site.jobs.stops.map(({ reasons }) => reasons[0]?.code)).toEqual(['LEASE_EXPIRED']);
    expect(stream.ended).toBe(false);
  });
});

describe('a challenge', () => {
  const challenge = (site: Site, id = 'c-1', namespaces = ['x-a']): Parameters<FakeSession['send']>[0] => ({
    $case: 'challenge',
    value: {
      id,
      nonce: Buffer.alloc(32, 3),
      namespaces,
      deadline: new Date(site.clock.now().getTime() + 60_000),
    },
  });

  it('is answered by fresh tokens that are bound to this site', async () => {
    const { site, stream } = await sites.open();
    stream.send(challenge(site));
    const { challengeId, tokens, failures } = await stream.next('attestation');
    expect([challengeId, tokens.length, failures]).toEqual(['c-1', 1, []]);
    const claims = openAttestationToken(tokens[0]?.jws ?? '');
    expect(claims.identity).toEqual({ trustDomain: 'hospitals.example', role: 'site', name: 'site-1' });
    expect(claims.audience).toBe('spiffe://hospitals.example');
    expect(Buffer.from(claims.nonce)).toEqual(Buffer.alloc(32, 3));
  });

  it('row 7: an expired own token is generated anew, with a newer time', async () => {
    const { site, stream } = await sites.open();
    const issuedAt = async (id: string): Promise<Date> => {
      stream.send(challenge(site, id));
      const { tokens } = await stream.next('attestation');
      return openAttestationToken(tokens[0]?.jws ?? '').issuedAt;
    };
    const first = await issuedAt('c-1');
    stream.heartbeats = 'ignore';
    site.clock.step(600_000);
    const second = await issuedAt('c-2');
    expect(second.getTime()).toBeGreaterThanOrEqual(first.getTime() + 600_000);
  });

  it('is answered with reasons when evidence cannot be collected', async () => {
    const source = fakeSource(() => Promise.reject(refusal('ATTESTATION_GENERATION_FAILED')));
    const { site, stream } = await sites.open({ source });
    stream.send(challenge(site, 'c-1', ['x-a', 'x-tdx']));
    const { tokens, failures } = await stream.next('attestation');
    expect(tokens).toEqual([]);
    expect(failures.map(({ code, namespace }) => [code, namespace])).toEqual([
      ['ATTESTATION_GENERATION_FAILED', 'x-a'],
      ['ATTESTATION_GENERATION_FAILED', 'x-tdx'],
    ]);
  });

  it('never holds up heartbeats or stops when the device hangs', async () => {
    const { site, stream } = await sites.open({ source: fakeSource(() => new Promise(() => undefined)) });
    stream.send(challenge(site));
    sendCommand(stream, 1n, stopJob('job-1'));
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
    await site.clock.advance(10_000);
    expect((await stream.next('heartbeat')).seq).toBe(2n);
  });
});
