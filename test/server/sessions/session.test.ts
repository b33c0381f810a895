import { beforeEach, describe, expect, it } from '@jest/globals';
import type { CommandAction } from '@muster/server/ports.js';
import {
  CommandOutcome,
  GoodbyeReason,
  ResumeMode,
  SessionRequest,
  SiteJobState,
  VerdictOutcome,
} from '@muster/shared/gen/muster/v1/agent.js';
import { reason } from '@muster/shared/reasons.js';
import { openAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import {
  createSessions,
  greeting,
  heartbeatMs,
  leaseMarginMs,
  leaseTtlMs,
  type AgentStream,
  type SessionFederation,
} from '../../support/session-federation.js';
import { presentToken, presenter, type Presenter, type TokenChanges } from '../../support/tokens.js';
import { until } from '../../support/until.js';

const stop: CommandAction = {
  $case: 'stopJob',
  value: { jobId: 'job-1', generation: 1n, grace: undefined, reasons: [] },
};

describe('a session', () => {
  let server: SessionFederation;
  let site: Presenter;

  beforeEach(async () => {
    server = await createSessions();
    site = await server.enroll('site-1');
  });

  const prove = async (stream: AgentStream, changes: TokenChanges = {}): Promise<void> => {
    await until(() => stream.first('challenge') !== undefined);
    const challenge = stream.all('challenge').at(-1);
    const verdicts = stream.all('verdict').length;
    const jws = await presentToken(site, challenge?.nonce ?? Buffer.alloc(0), server.clock.now(), changes);
    const tokens = [{ namespace: 'x-a', jws }];
    stream.say({ $case: 'attestation', value: { challengeId: challenge?.id ?? '', tokens, failures: [] } });
    await until(() => stream.all('verdict').length > verdicts);
  };
  const enqueue = async (...actions: CommandAction[]): Promise<void> => {
    await server.store.transaction(async (tx) => {
      for (const action of actions) await server.commands.enqueue(tx, ['site-1'], action);
    });
    server.commands.flush(['site-1']);
  };

  it('opens with a Welcome, the desired state and a challenge', async () => {
    server.jobs.permits = [{ jobId: 'job-1', generation: 2, permit: 'p' }];
    const stream = await server.open(site, { runningJobs: [{ jobId: 'job-1', generation: 2n }] });
    await until(() => stream.first('challenge') !== undefined);
    expect(stream.received.map(({ $case }) => $case)).toEqual(['welcome', 'desiredState', 'challenge']);
    expect(stream.first('welcome')).toMatchObject({
      epoch: 1n,
      mode: ResumeMode.SNAPSHOT,
      heartbeatInterval: { seconds: 10n },
      leaseTtl: { seconds: 60n },
      graceLimit: { seconds: 5n },
      window: 32,
      protocol: 1,
    });
    expect(stream.first('desiredState')).toEqual({
      jobs: [{ jobId: 'job-1', generation: 2n, permit: 'p' }],
      throughSeq: 0n,
    });
    expect(server.jobs.running).toEqual([['site-1', [{ jobId: 'job-1', generation: 2 }]]]);
    expect(server.registry.find('site-1')).toMatchObject({
      connected: true,
      epoch: 1,
      agentVersion: '0.1.0',
    });
  });

  it("answers the agent's nonce with the server's own evidence", async () => {
    const nonce = Buffer.alloc(32, 9);
    const stream = await server.open(site, { nonce });
    const attestation = stream.first('welcome')?.serverAttestation;
    expect(attestation).toMatchObject({ participant: 'muster', server: true });
    const claims = openAttestationToken(attestation?.tokens[0]?.jws ?? '');
    expect(claims).toMatchObject({
      audience: 'spiffe://hospitals.example/site/site-1',
      nonce: new Uint8Array(nonce),
    });
  });

  it('opens without that evidence when the device of the server fails: stops must flow all the same', async () => {
    server.attester.failure = new Error('gone');
    const stream = await server.open(site);
    expect(stream.first('welcome')?.serverAttestation).toBeUndefined();
  });

  it('renews the lease of a site while it is proven, and of no other', async () => {
    const stream = await server.open(site);
    expect(await stream.beat(1)).toMatchObject({ leaseRenewed: false });
    expect(server.hub.leaseEndsAt('site-1')).toBe(0);
    await prove(stream);
    expect(stream.first('verdict')?.outcome).toBe(VerdictOutcome.ACCEPTED);
    expect(await stream.beat(2)).toMatchObject({ leaseRenewed: true });
    expect(server.hub.leaseEndsAt('site-1')).toBe(server.clock.monotonic() + leaseTtlMs + leaseMarginMs);
  });

  it('ends the lease of a site that is quarantined, but not its channel', async () => {
    const stream = await server.open(site);
    await prove(stream);
    await stream.beat(1);
    const ends = server.hub.leaseEndsAt('site-1');
    const { store, registry } = server;
    await store.transaction((tx) => registry.quarantine(tx, 'site-1', [reason('OPERATOR_QUARANTINE')]));
    await server.clock.advance(1000);
    expect(await stream.beat(2)).toMatchObject({ leaseRenewed: false });
    expect(server.hub.leaseEndsAt('site-1')).toBe(ends);
    await enqueue(stop);
    await until(() => stream.first('command') !== undefined);
  });

  it('ends the lease of a site whose evidence is refused', async () => {
    const stream = await server.open(site);
    await prove(stream);
    const verified = server.verification.verify(['site-1'], 60_000);
    await until(() => stream.all('challenge').length === 2);
    await prove(stream, { tier: 'contraindicated' });
    await verified;
    expect(await stream.beat(1)).toMatchObject({ leaseRenewed: false });
  });

  it('row 16: duplicate and reordered heartbeats have no effect', async () => {
    const stream = await server.open(site);
    await prove(stream);
    await stream.beat(5);
    const ends = server.hub.leaseEndsAt('site-1');
    await server.clock.advance(1000);
    for (const seq of [5n, 4n, 5n]) {
      stream.say({ $case: 'heartbeat', value: { seq, ackedThrough: 0n, jobsDigest: Buffer.alloc(0) } });
    }
    await enqueue(stop);
    await until(() => stream.first('command') !== undefined);
    expect(stream.all('heartbeatAck')).toHaveLength(1);
    expect(stream.all('command')).toHaveLength(1);
    expect(server.hub.leaseEndsAt('site-1')).toBe(ends);
  });

  it('delivers commands and takes each outcome once', async () => {
    const stream = await server.open(site);
    await enqueue(stop);
    await until(() => stream.first('command') !== undefined);
    const ack = (outcome: CommandOutcome): void =>
      stream.say({ $case: 'commandAck', value: { seq: 1n, outcome, reasons: [] } });
    ack(CommandOutcome.RECEIVED);
    ack(CommandOutcome.APPLIED);
    ack(CommandOutcome.APPLIED);
    await stream.beat(1);
    expect(server.results.map(({ outcome }) => outcome)).toEqual(['RECEIVED', 'APPLIED']);
  });

  it("hands over the site's own checks and reports, before later heartbeats are acknowledged", async () => {
    const stream = await server.open(site);
    const reasons = [reason('TOKEN_EXPIRED')].map((entry) => ({
      ...entry,
      participant: '',
      namespace: '',
      path: '',
    }));
    stream.say({ $case: 'jobCheck', value: { jobId: 'job-1', generation: 3n, accepted: false, reasons } });
    const state = SiteJobState.COMPLETED;
    stream.say({
      $case: 'jobReport',
      value: { jobId: 'job-1', generation: 3n, state, exitCode: 0, reasons: [] },
    });
    await stream.beat(1);
    expect(server.jobs.checks).toMatchObject([
      ['site-1', 'job-1', 3, false, [{ code: 'TOKEN_EXPIRED', participant: 'site-1' }]],
    ]);
    expect(server.jobs.reports).toEqual([['site-1', 'job-1', 3, 'COMPLETED', 0, []]]);
  });

  it('appraises nothing while permission is being taken back, and goes on after that', async () => {
    const stream = await server.open(site);
    const { calls } = server.verifier;
    let release = (): void => undefined;
    const stopping = server.store.transaction(() => new Promise<void>((resolve) => (release = resolve)), {
      urgent: true,
    });
    const proven = prove(stream);
    for (let turn = 0; turn < 500; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(server.verifier.calls).toBe(calls);
    release();
    await Promise.all([stopping, proven]);
    expect(server.verifier.calls).toBeGreaterThan(calls);
    expect(stream.first('verdict')?.outcome).toBe(VerdictOutcome.ACCEPTED);
  });

  it('fences the older of two sessions, and nothing of it counts any more', async () => {
    const first = await server.open(site);
    await enqueue(stop);
    const second = await server.open(site, { lastEpoch: 1n });
    expect((await first.end())?.code).toBe('SESSION_FENCED');
    expect(second.first('welcome')?.epoch).toBe(2n);
    await until(() => second.first('command') !== undefined);
    const ack = { seq: 1n, outcome: CommandOutcome.APPLIED, reasons: [] };
    first.say({ $case: 'commandAck', value: ack });
    await second.beat(1);
    expect(server.results).toEqual([]);
    expect(server.hub.isConnected('site-1')).toBe(true);
    first.cut();
    await second.beat(2);
    expect(server.registry.find('site-1')).toMatchObject({ connected: true, epoch: 2 });
  });

  it('replays what is unfinished to the same process after a reconnect', async () => {
    const first = await server.open(site);
    await enqueue(stop, { $case: 'reattest', value: { namespaces: [] } });
    await until(() => first.all('command').length === 2);
    first.say({ $case: 'commandAck', value: { seq: 1n, outcome: CommandOutcome.APPLIED, reasons: [] } });
    await first.beat(1);
    first.cut();
    await until(() => !server.hub.isConnected('site-1'));
    const { logId = '', epoch = 0n } = first.first('welcome') ?? {};
    const second = await server.open(site, { logId, appliedSeq: 1n, lastEpoch: epoch });
    await until(() => second.first('command') !== undefined);
    expect(second.first('welcome')?.mode).toBe(ResumeMode.REPLAY);
    expect(second.first('desiredState')).toBeUndefined();
    expect(second.all('command').map(({ seq }) => seq)).toEqual([2n]);
  });

  it('tells a restarted agent the whole desired state', async () => {
    const first = await server.open(site);
    const { logId = '' } = first.first('welcome') ?? {};
    first.cut();
    const second = await server.open(site, { bootId: 'boot-2', logId });
    expect(second.first('welcome')?.mode).toBe(ResumeMode.SNAPSHOT);
    expect(second.first('desiredState')).toBeDefined();
  });

  it('renames its log when an agent has seen more than a restored database', async () => {
    const first = await server.open(site);
    const { logId = '' } = first.first('welcome') ?? {};
    const second = await server.open(site, { logId, appliedSeq: 7n, lastEpoch: 40n });
    expect(second.first('welcome')).toMatchObject({ mode: ResumeMode.SNAPSHOT, epoch: 41n });
    expect(second.first('welcome')?.logId).not.toBe(logId);
  });

  it('renames its log when an agent has received what a restored database does not hold', async () => {
    const first = await server.open(site);
    await enqueue(stop);
    await until(() => first.all('command').length === 1);
    const { logId = '', epoch = 0n } = first.first('welcome') ?? {};
    const [command] = first.all('command');
    const resumed = { logId, appliedSeq: 1n, lastEpoch: epoch };
    const same = await server.open(site, { ...resumed, lastCommandId: command?.id ?? '' });
    expect(same.first('welcome')).toMatchObject({ mode: ResumeMode.REPLAY, logId });
    const other = await server.open(site, { ...resumed, lastCommandId: 'of-a-later-time' });
    expect(other.first('welcome')?.mode).toBe(ResumeMode.SNAPSHOT);
    expect(other.first('welcome')?.logId).not.toBe(logId);
  });

  it('row 14: goes on after a restart of the server', async () => {
    const before = await server.open(site);
    await prove(before);
    await enqueue(stop);
    server.verification.stop();
    server.hub.stop();
    const restarted = await createSessions({ before: server });
    expect(restarted.registry.standing('site-1').admissible).toBe(true);
    expect(restarted.hub.leaseEndsAt('site-1')).toBe(server.clock.monotonic() + leaseTtlMs + leaseMarginMs);
    const after = await restarted.open(site, { logId: before.first('welcome')?.logId ?? '', lastEpoch: 1n });
    expect(await after.beat(1)).toMatchObject({ leaseRenewed: true });
    expect(after.first('welcome')).toMatchObject({ mode: ResumeMode.REPLAY, epoch: 2n });
    expect(after.first('command')?.action).toEqual(stop);
    expect(after.first('challenge')).toBeUndefined();
  });

  it('reports a site that does not come back after a restart of the server', async () => {
    await server.open(site);
    server.verification.stop();
    server.hub.stop();
    const restarted = await createSessions({ before: server });
    await restarted.clock.advance(leaseTtlMs);
    expect(restarted.failures).toMatchObject([{ kind: 'silent', participant: 'site-1' }]);
  });

  it('reports a silent site once, and ends its session', async () => {
    const stream = await server.open(site);
    await prove(stream);
    await stream.beat(1);
    await server.clock.advance(heartbeatMs * 3);
    expect(server.failures).toEqual([]);
    await server.clock.advance(heartbeatMs * 10);
    expect(server.failures).toMatchObject([
      { kind: 'silent', participant: 'site-1', reasons: [{ code: 'PARTICIPANT_SILENT' }] },
    ]);
    expect((await stream.end())?.code).toBe('PARTICIPANT_SILENT');
    expect(server.registry.standing('site-1').admissible).toBe(false);
    await server.open(site, { lastEpoch: 1n });
    expect(server.registry.find('site-1')).toMatchObject({ silent: false, connected: true });
  });

  it('counts a lost connection as silence only when the agent does not come back', async () => {
    const stream = await server.open(site);
    stream.cut();
    await server.clock.advance(heartbeatMs);
    await server.open(site, { lastEpoch: 1n });
    const silences = (): number => server.failures.filter(({ kind }) => kind === 'silent').length;
    await server.clock.advance(heartbeatMs * 3);
    expect(silences()).toBe(0);
    await server.clock.advance(heartbeatMs);
    expect(silences()).toBe(1);
  });

  it('removes the tokens of a site that leaves in order, and does not call it silent', async () => {
    const stream = await server.open(site);
    await prove(stream);
    stream.say({ $case: 'goodbye', value: { reason: GoodbyeReason.SHUTDOWN } });
    expect(await stream.end()).toBeUndefined();
    expect(server.registry.find('site-1')).toMatchObject({ tokens: [], connected: false });
    await server.clock.advance(leaseTtlMs * 2);
    expect(server.failures).toEqual([]);
  });

  it('takes the end of the stream for no goodbye', async () => {
    const stream = await server.open(site);
    await prove(stream);
    stream.finish();
    expect(await stream.end()).toBeUndefined();
    expect(server.registry.find('site-1')?.tokens).toHaveLength(1);
  });

  it('keeps the tokens when another stream takes over', async () => {
    const stream = await server.open(site);
    await prove(stream);
    stream.say({ $case: 'goodbye', value: { reason: GoodbyeReason.HANDOVER } });
    await stream.end();
    expect(server.registry.find('site-1')?.tokens).toHaveLength(1);
  });

  it('reports two processes that use one identity in turn', async () => {
    await server.open(site, { bootId: 'boot-1' });
    await server.open(site, { bootId: 'boot-2' });
    expect(server.failures).toEqual([]);
    await server.open(site, { bootId: 'boot-1' });
    await until(() => server.failures.length > 0);
    expect(server.failures).toMatchObject([
      { kind: 'evidence_rejected', participant: 'site-1', reasons: [{ code: 'PARTICIPANT_CLONED' }] },
    ]);
  });

  it('reports them also when the server was started again in between', async () => {
    await server.open(site, { bootId: 'boot-1' });
    server.verification.stop();
    server.hub.stop();
    const restarted = await createSessions({ before: server });
    await restarted.open(site, { bootId: 'boot-2' });
    expect(restarted.failures).toEqual([]);
    await restarted.open(site, { bootId: 'boot-1' });
    await until(() => restarted.failures.length > 0);
    expect(restarted.failures).toMatchObject([{ reasons: [{ code: 'PARTICIPANT_CLONED' }] }]);
  });

  it('ends when heartbeats come faster than any agent sends them', async () => {
    const stream = await server.open(site);
    for (let seq = 1n; seq <= 51n; seq += 1n) {
      stream.say({ $case: 'heartbeat', value: { seq, ackedThrough: 0n, jobsDigest: Buffer.alloc(0) } });
    }
    expect((await stream.end())?.code).toBe('RATE_LIMITED');
  });

  it('ends in order with the server, and is told when to come back', async () => {
    const stream = await server.open(site);
    server.hub.stop();
    expect(await stream.end()).toBeUndefined();
    expect(stream.first('drain')).toMatchObject({ reconnectAfter: { seconds: 5n } });
  });

  it('refuses a certificate of an earlier enrolment', async () => {
    const stream = await server.open(presenter('site-1'));
    expect((await stream.end())?.code).toBe('CERTIFICATE_REVOKED');
  });

  it('refuses a participant that was removed, and ends its session', async () => {
    const stream = await server.open(site);
    await server.store.transaction((tx) => server.registry.remove(tx, 'site-1'));
    server.hub.disconnect('site-1');
    expect((await stream.end())?.code).toBe('PARTICIPANT_REMOVED');
    const again = await server.open(site);
    expect((await again.end())?.code).toBe('PARTICIPANT_REMOVED');
  });

  it('asks agents to come back later, and takes no new sessions', async () => {
    const stream = await server.open(site);
    server.hub.drain();
    await until(() => stream.first('drain') !== undefined);
    expect(stream.first('drain')).toMatchObject({ reconnectAfter: { seconds: 5n } });
    expect((await (await server.open(site)).end())?.code).toBe('SHUTTING_DOWN');
  });

  it('admits so many sessions at once, and tells the others when to come back', async () => {
    const streams = Array.from({ length: 201 }, () => server.stream(site));
    await until(() => streams.some(({ ended }) => ended));
    const refused = streams.find(({ ended }) => ended)?.error;
    expect(refused?.code).toBe('RATE_LIMITED');
    expect(refused?.retryAfterMs).toBeGreaterThan(0);
  });

  describe('refuses', () => {
    const protocolError = async (stream: AgentStream): Promise<void> => {
      expect((await stream.end())?.code).toBe('SESSION_PROTOCOL');
    };

    it('anything before Hello', async () => {
      const stream = server.stream(site);
      stream.say({ $case: 'heartbeat', value: { seq: 1n, ackedThrough: 0n, jobsDigest: Buffer.alloc(0) } });
      await protocolError(stream);
    });

    it('a second Hello', async () => {
      const stream = await server.open(site);
      stream.say({ $case: 'hello', value: greeting() });
      await protocolError(stream);
    });

    it('no Hello within 10 s', async () => {
      const stream = server.stream(site);
      await server.clock.advance(10_000);
      await protocolError(stream);
    });

    it.each([
      ['newer', { protocolMin: 2, protocolMax: 3 }],
      ['older', { protocolMin: 0, protocolMax: 0 }],
    ])('an agent with only %s protocol versions', async (_title, versions) => {
      const stream = await server.open(site, versions);
      expect((await stream.end())?.code).toBe('SESSION_VERSION');
    });

    it.each([
      ['without a boot id', { bootId: '' }],
      ['with a nonce of another length', { nonce: Buffer.alloc(31) }],
      ['with a number beyond 2^53', { lastEpoch: 2n ** 60n }],
      ['with an endless agent version', { agentVersion: 'v'.repeat(65) }],
      ['with a job without a name', { runningJobs: [{ jobId: '', generation: 1n }] }],
      ['above 64 KiB', { namespaces: ['x'.repeat(64 * 1024)] }],
    ])('a Hello %s', async (_title, changes) => {
      await protocolError(await server.open(site, changes));
    });

    it.each([
      ['a malformed frame', Buffer.from([0xff, 0xff, 0xff])],
      [
        'a truncated frame',
        Buffer.from(
          SessionRequest.encode({ message: { $case: 'hello', value: greeting() } }).finish(),
        ).subarray(0, 20),
      ],
      ['a frame without a message', Buffer.alloc(0)],
      ['a message that it does not know', Buffer.from([0xfa, 0x01, 0x00])],
    ])('%s', async (_title, bytes) => {
      const stream = await server.open(site);
      stream.sayBytes(bytes);
      await protocolError(stream);
    });

    it('an outcome, a state or a goodbye that it does not know', async () => {
      const messages: NonNullable<SessionRequest['message']>[] = [
        { $case: 'commandAck', value: { seq: 1n, outcome: 9 as never, reasons: [] } },
        { $case: 'commandAck', value: { seq: 1n, outcome: CommandOutcome.UNSPECIFIED, reasons: [] } },
        {
          $case: 'jobReport',
          value: { jobId: 'j', generation: 1n, state: 77 as never, exitCode: 0, reasons: [] },
        },
        { $case: 'goodbye', value: { reason: GoodbyeReason.UNSPECIFIED } },
      ];
      for (const message of messages) {
        const stream = await server.open(site);
        stream.say(message);
        await protocolError(stream);
      }
    });

    it('an Attestation with more tokens than there are namespaces', async () => {
      const stream = await server.open(site);
      const tokens = Array.from({ length: 17 }, () => ({ namespace: 'x-a', jws: 'a.b.c' }));
      stream.say({ $case: 'attestation', value: { challengeId: 'c', tokens, failures: [] } });
      await protocolError(stream);
    });
  });

  it('answers an oversized token with a verdict and goes on', async () => {
    const stream = await server.open(site);
    await until(() => stream.first('challenge') !== undefined);
    const tokens = [{ namespace: 'x-a', jws: 'a'.repeat(512 * 1024 + 1) }];
    const challengeId = stream.first('challenge')?.id ?? '';
    stream.say({ $case: 'attestation', value: { challengeId, tokens, failures: [] } });
    await until(() => stream.first('verdict') !== undefined);
    expect(stream.first('verdict')?.reasons.map(({ code }) => code)).toContain('TOKEN_OVERSIZED');
    await stream.beat(1);
  });
});
