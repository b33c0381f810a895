import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decide, initialState, nextTick } from '@muster/agent/session/session-state.js';
import type {
  Decision,
  SessionEffect,
  SessionEvent,
  SessionState,
} from '@muster/agent/session/session-types.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import {
  Attestation,
  Command,
  GoodbyeReason,
  ResumeMode,
  VerdictOutcome,
  Welcome,
  type SessionResponse,
} from '@muster/shared/gen/muster/v1/agent.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { reason } from '@muster/shared/reasons.js';

const intervalMs = 10_000;
const leaseTtlMs = 60_000;
const serverTime = new Date('2026-01-01T00:00:00Z');

const goodWelcome: Welcome = {
  ...Welcome.fromPartial({ epoch: 1, logId: 'log-1', mode: ResumeMode.SNAPSHOT, protocol: 1, window: 32 }),
  heartbeatInterval: toDuration(intervalMs),
  leaseTtl: toDuration(leaseTtlMs),
  serverTime,
};

/** Drives the decisions with a clock of its own. */
class Driver {
  state: SessionState = initialState(0);
  now = 0;
  effects: readonly SessionEffect[] = [];

  event(event: SessionEvent): this {
    const { state, effects }: Decision = decide(this.state, event, { now: this.now, random: 0.5 });
    this.state = state;
    this.effects = effects;
    return this;
  }

  tick(): this {
    return this.event({ type: 'tick' });
  }

  at(now: number): this {
    this.now = now;
    return this.tick();
  }

  receive(message: SessionResponse['message'], stream = this.state.streams): this {
    return this.event({ type: 'received', stream, message });
  }

  ack(seq: bigint, leaseRenewed = true): this {
    return this.receive({ $case: 'heartbeatAck', value: { seq, leaseRenewed } });
  }

  open(): this {
    return this.tick().receive({ $case: 'welcome', value: goodWelcome }).tick();
  }

  types(): string[] {
    return this.effects.map(({ type }) => type).filter((type) => type !== 'log');
  }

  sent(): string[] {
    return this.effects.flatMap((effect) => (effect.type === 'send' ? [effect.message.$case] : []));
  }
}

const stop = (seq: bigint): SessionResponse['message'] => ({
  $case: 'command',
  value: {
    ...Command.fromPartial({ id: `command-${seq}` }),
    seq,
    action: { $case: 'stopJob', value: { jobId: 'job-1', generation: 1n, grace: undefined, reasons: [] } },
  },
});

const challenge = (id: string, withinMs: number, now = 0): SessionResponse['message'] => ({
  $case: 'challenge',
  value: {
    id,
    namespaces: ['x-a'],
    nonce: Buffer.alloc(32, 1),
    deadline: new Date(serverTime.getTime() + now + withinMs),
  },
});

describe('opening a session', () => {
  it('opens a stream at once, and earns the lease with a heartbeat at once', () => {
    const driver = new Driver().tick();
    expect(driver.types()).toEqual(['open']);
    driver.receive({ $case: 'welcome', value: goodWelcome });
    expect(driver.types()).toEqual(['judge_server']);
    expect(driver.tick().effects).toEqual([{ type: 'heartbeat', stream: 1, seq: 1n }]);
  });

  it.each<[string, Partial<Welcome>]>([
    ['another protocol', { protocol: 2 }],
    ['no protocol', { protocol: 0 }],
    ['no epoch', { epoch: 0n }],
    ['no log', { logId: '' }],
    ['no mode', { mode: ResumeMode.UNSPECIFIED }],
    ['no heartbeat interval', { heartbeatInterval: undefined }],
    ['an endless heartbeat interval', { heartbeatInterval: toDuration(1e9) }],
    ['no lease', { leaseTtl: undefined }],
    ['a lease shorter than a heartbeat', { leaseTtl: toDuration(intervalMs) }],
    [
      'a heartbeat interval above 5 minutes',
      { heartbeatInterval: toDuration(300_001), leaseTtl: toDuration(3_600_000) },
    ],
    ['an endless lease', { leaseTtl: toDuration(1e9) }],
    ['no time', { serverTime: undefined }],
    ['a grace below nothing', { graceLimit: toDuration(-1_000) }],
  ])('ends on a Welcome with %s', (_what, change) => {
    const driver = new Driver().tick().receive({ $case: 'welcome', value: { ...goodWelcome, ...change } });
    expect(driver.types()).toEqual(['abort']);
    expect(driver.state.active).toBeUndefined();
    expect(driver.state.reasons[0]?.code).toBe('SESSION_PROTOCOL');
    expect(driver.state.connectAt).toBeGreaterThan(driver.now);
  });

  it('takes the longest heartbeat interval and lease that there are', () => {
    const value = { ...goodWelcome, heartbeatInterval: toDuration(300_000), leaseTtl: toDuration(3_600_000) };
    expect(new Driver().tick().receive({ $case: 'welcome', value }).types()).toEqual(['judge_server']);
  });

  it('waits for a desired state after a snapshot only', () => {
    const snapshotOf = (mode: ResumeMode): boolean | undefined =>
      new Driver().tick().receive({ $case: 'welcome', value: { ...goodWelcome, mode } }).state.active
        ?.snapshot;
    expect([ResumeMode.SNAPSHOT, ResumeMode.REPLAY].map(snapshotOf)).toEqual([true, false]);
  });

  it('is looked at again when the Welcome, and then when the next heartbeat, is due', () => {
    const driver = new Driver().tick();
    expect(nextTick(driver.state)).toBe(20_000);
    driver.receive({ $case: 'welcome', value: goodWelcome });
    expect(nextTick(driver.state)).toBe(0);
    expect(nextTick(driver.tick().state)).toBe(10_000);
  });

  it("takes the bound that the server sets to the site's own grace", () => {
    const value = { ...goodWelcome, graceLimit: toDuration(5_000) };
    const driver = new Driver().tick().receive({ $case: 'welcome', value });
    expect(driver.effects).toContainEqual({ type: 'limit_grace', ms: 5_000 });
  });

  it.each<[string, SessionResponse['message']]>([
    ['nothing readable', undefined],
    ['a command', stop(1n)],
    ['a heartbeat acknowledged', { $case: 'heartbeatAck', value: { seq: 1n, leaseRenewed: true } }],
  ])('ends when the first message is %s', (_what, message) => {
    expect(new Driver().tick().receive(message).types()).toEqual(['abort']);
  });

  it('ends on a second Welcome, an acknowledgement of a heartbeat never sent and an unreadable message', () => {
    expect(new Driver().open().receive({ $case: 'welcome', value: goodWelcome }).types()).toEqual(['abort']);
    expect(new Driver().open().ack(7n).types()).toEqual(['abort']);
    expect(new Driver().open().receive(undefined).types()).toEqual(['abort']);
  });

  it('gives a silent server up and backs off', () => {
    const driver = new Driver().tick().at(20_000);
    expect(driver.types()).toEqual(['abort']);
    expect(driver.state.connectAt).toBe(20_500);
    expect(driver.at(20_500).types()).toEqual(['open']);
  });
});

describe('reconnecting', () => {
  const unreachable = refusal('SERVER_UNREACHABLE');

  it('backs off longer after each failure, and starts over once a heartbeat was acknowledged', () => {
    const driver = new Driver();
    const delays = [1, 2, 3, 4, 5, 6, 7].map((stream) => {
      driver.at(driver.state.connectAt ?? 0).event({ type: 'closed', stream, error: unreachable });
      return (driver.state.connectAt ?? 0) - driver.now;
    });
    expect(delays).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    driver.at(driver.state.connectAt ?? 0).open();
    expect(driver.state.failures).toBe(7);
    expect(driver.ack(1n).state.failures).toBe(0);
  });

  it('waits as long as the server asks', () => {
    const error = new MusterError([reason('RATE_LIMITED')], { retryAfterMs: 5_000 });
    const driver = new Driver().tick().event({ type: 'closed', stream: 1, error });
    expect(driver.state.connectAt).toBe(5_500);
  });

  const unaccepted = [
    'CERTIFICATE_EXPIRED',
    'CERTIFICATE_REVOKED',
    'CERTIFICATE_SUPERSEDED',
    'UNAUTHENTICATED',
  ] as const;

  it.each(unaccepted)('enrols again on %s, and waits for the new certificate', (code) => {
    const driver = new Driver().tick().event({ type: 'closed', stream: 1, error: refusal(code) });
    expect(driver.tick().types()).toEqual(['enrol']);
    expect(nextTick(driver.state)).toBeUndefined();
    expect(driver.event({ type: 'handover' }).tick().types()).toEqual(['open']);
  });

  it.each(unaccepted)('enrols after growing delays while new certificates are %s, too', (code) => {
    const driver = new Driver().tick();
    const delays = [1, 2, 3].map((stream) => {
      driver.event({ type: 'closed', stream, error: refusal(code) });
      const delayMs = (nextTick(driver.state) ?? 0) - driver.now;
      expect(driver.at(driver.now + delayMs).types()).toEqual(['enrol']);
      driver.event({ type: 'handover' }).tick();
      return delayMs;
    });
    expect(delays).toEqual([0, 1_000, 2_000]);
  });

  it('enrols again when the certificate is of the future, and no lease is held that this would end', () => {
    const error = refusal('CERTIFICATE_NOT_YET_VALID');
    const driver = new Driver().open().ack(1n).event({ type: 'closed', stream: 1, error });
    expect(driver.at(driver.state.connectAt ?? 0).types()).toEqual(['open']);
    driver.at(leaseTtlMs).at(driver.state.connectAt ?? 0);
    driver.event({ type: 'closed', stream: driver.state.streams, error });
    expect(driver.at(driver.state.enrolAt ?? 0).types()).toEqual(['enrol']);
  });

  it('does not enrol before its time', () => {
    const error = new MusterError([reason('CERTIFICATE_REVOKED')]);
    const driver = new Driver().tick().event({ type: 'closed', stream: 1, error });
    driver.tick().event({ type: 'handover' }).tick().event({ type: 'closed', stream: 2, error });
    expect(driver.at(999).types()).toEqual([]);
    expect(driver.at(1_000).types()).toEqual(['enrol']);
  });

  it('opens one stream at a time', () => {
    const driver = new Driver().tick().event({ type: 'handover' });
    expect(driver.tick().types()).toEqual([]);
    expect(nextTick(driver.state)).toBe(20_000);
  });

  it('opens none once the agent leaves', () => {
    const driver = new Driver().event({ type: 'leave' }).event({ type: 'handover' });
    expect(driver.tick().types()).toEqual([]);
    expect(nextTick(driver.state)).toBeUndefined();
  });

  it('takes no notice of the end of a stream that it has left', () => {
    const driver = new Driver().open();
    const { state } = driver;
    driver.event({ type: 'closed', stream: 9, error: unreachable });
    expect([driver.state, driver.effects]).toEqual([state, []]);
  });

  it('leaves the stream alone that is being opened when the old one ends', () => {
    const driver = new Driver().open().event({ type: 'handover' }).tick();
    driver.event({ type: 'closed', stream: 1, error: unreachable });
    expect(driver.state).toMatchObject({ opening: { id: 2 }, failures: 0 });
    expect(driver.state.connectAt).toBeUndefined();
  });

  it('does not enrol once it leaves', () => {
    const driver = new Driver().tick();
    driver.event({ type: 'closed', stream: 1, error: refusal('CERTIFICATE_REVOKED') });
    expect(driver.event({ type: 'leave' }).tick().types()).toEqual([]);
  });

  it.each(unaccepted)(
    'waits for the session that it opens with a new certificate when the old one is %s',
    (code) => {
      const driver = new Driver().open().event({ type: 'handover' }).tick();
      expect(driver.event({ type: 'closed', stream: 1, error: refusal(code) }).types()).toEqual([]);
      driver.receive({ $case: 'welcome', value: { ...goodWelcome, epoch: 2n } });
      expect(driver.state).toMatchObject({ epoch: 2n, active: { id: 2 } });
    },
  );

  it.each(['PARTICIPANT_REMOVED', 'SESSION_VERSION'] as const)('ends the agent on %s', (code) => {
    const driver = new Driver().open().event({ type: 'closed', stream: 1, error: refusal(code) });
    expect(driver.types()).toEqual(['fail']);
    expect(driver.state.connectAt).toBeUndefined();
  });

  it('counts three unanswered heartbeats as a dead session', () => {
    const driver = new Driver().open().at(10_000).at(20_000);
    expect(driver.types()).toEqual(['heartbeat']);
    expect(driver.at(30_000).types()).toEqual(['abort']);
  });

  it('opens the new session before it leaves the old one when drained', () => {
    const driver = new Driver().open();
    driver.receive({ $case: 'drain', value: { reconnectAfter: toDuration(3_000) } });
    expect(driver.at(2_999).types()).toEqual([]);
    expect(driver.at(3_000).types()).toEqual(['open']);
    expect(driver.state.active?.id).toBe(1);
    driver.receive({ $case: 'welcome', value: { ...goodWelcome, epoch: 2n } });
    expect(driver.effects).toContainEqual({ type: 'goodbye', stream: 1, reason: GoodbyeReason.HANDOVER });
    expect(driver.state).toMatchObject({ epoch: 2n, active: { id: 2 } });
    expect(driver.event({ type: 'closed', stream: 1, error: unreachable }).types()).toEqual([]);
    expect(driver.receive(stop(1n), 1).types()).toEqual([]);
  });

  it('comes back when it was asked to, also when the server ends meanwhile', () => {
    const driver = new Driver().open();
    driver.receive({ $case: 'drain', value: { reconnectAfter: toDuration(3_000) } });
    driver.event({ type: 'closed', stream: 1, error: unreachable });
    expect(driver.state.connectAt).toBe(3_000);
    expect(driver.at(3_000).types()).toEqual(['open']);
  });

  it('keeps the old session when the new one cannot be had', () => {
    const driver = new Driver().open().event({ type: 'handover' }).tick();
    driver.event({ type: 'closed', stream: 2, error: unreachable });
    expect(driver.state.active?.id).toBe(1);
    expect(driver.state.connectAt).toBeGreaterThan(driver.now);
  });

  it('does not reconnect once the agent leaves', () => {
    const driver = new Driver().open().event({ type: 'leave' });
    expect(driver.effects).toEqual([{ type: 'goodbye', stream: 1, reason: GoodbyeReason.SHUTDOWN }]);
    driver.event({ type: 'closed', stream: 1, error: unreachable });
    expect([driver.state.connectAt, nextTick(driver.state)]).toEqual([undefined, undefined]);
  });
});

describe('the lease of a session', () => {
  it('stops all jobs when no heartbeat was acknowledged in time, once', () => {
    const driver = new Driver().open().ack(1n);
    expect(driver.at(10_000).at(20_000).at(30_000).at(40_000).at(59_999).state.lease.endsAt).toBe(60_000);
    driver.at(60_000);
    expect(driver.effects).toContainEqual({ type: 'stop_all', reasons: [reason('LEASE_EXPIRED')] });
    expect(driver.at(70_000).types()).not.toContain('stop_all');
  });

  it('counts from the sending of the newest heartbeat that an acknowledgement covers', () => {
    const driver = new Driver().open().at(10_000).at(20_000).ack(2n);
    expect(driver.state.lease.endsAt).toBe(70_000);
  });

  it('is not renewed when the server says so', () => {
    const driver = new Driver().open().ack(1n).at(10_000).ack(2n, false);
    expect(driver.state.lease.endsAt).toBe(60_000);
    driver.at(20_000).ack(3n, false).at(30_000).ack(4n, false).at(60_000);
    expect(driver.types()).toContain('stop_all');
  });

  it('outlives the stream', () => {
    const driver = new Driver().open().ack(1n);
    driver.event({ type: 'closed', stream: 1, error: refusal('SERVER_UNREACHABLE') });
    expect(nextTick({ ...driver.state, connectAt: undefined })).toBe(60_000);
    expect(driver.at(60_000).types()).toContain('stop_all');
  });

  it('is held only while a renewed heartbeat is younger than the lease, whatever happens', () => {
    const step = fc.record({
      ms: fc.nat(30_000),
      what: fc.constantFrom('ack', 'refuse', 'close', 'welcome', 'nothing'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const driver = new Driver();
        let renewedAt = -Infinity;
        let sentAt = -Infinity;
        for (const { ms, what } of steps) {
          driver.at(driver.now + ms);
          if (driver.types().includes('heartbeat')) sentAt = driver.now;
          const { active, opening } = driver.state;
          if (active !== undefined && (what === 'ack' || what === 'refuse')) {
            if (what === 'ack' && active.heartbeats.unanswered.length > 0) renewedAt = sentAt;
            driver.ack(active.heartbeats.seq, what === 'ack');
          } else if (active !== undefined && what === 'close') {
            driver.event({ type: 'closed', stream: active.id, error: refusal('SERVER_UNREACHABLE') });
          } else if (opening !== undefined && what === 'welcome') {
            driver.receive({ $case: 'welcome', value: goodWelcome }, opening.id);
          }
          const { endsAt } = driver.state.lease;
          if (endsAt !== undefined) expect(endsAt).toBe(renewedAt + leaseTtlMs);
          else expect(driver.now >= renewedAt + leaseTtlMs).toBe(true);
        }
      }),
    );
  });
});

describe('commands in a session', () => {
  it('acknowledges arrival at once and the effect when it holds', () => {
    const driver = new Driver().open().receive(stop(1n));
    expect(driver.types()).toEqual(['send', 'apply']);
    driver.event({
      type: 'command_finished',
      logId: 'log-1',
      seq: 1n,
      result: { outcome: 'APPLIED', reasons: [] },
    });
    expect(driver.sent()).toEqual(['commandAck']);
    expect(driver.receive(stop(1n)).types()).toEqual(['send']);
  });

  it('repeats what the server may not have received, on the next session', () => {
    const driver = new Driver().open().receive(stop(1n));
    const result = { outcome: 'APPLIED', reasons: [] } as const;
    driver.event({ type: 'command_finished', logId: 'log-1', seq: 1n, result });
    driver.event({ type: 'closed', stream: 1, error: refusal('SERVER_UNREACHABLE') });
    driver
      .at(driver.state.connectAt ?? 0)
      .receive({ $case: 'welcome', value: { ...goodWelcome, epoch: 2n } });
    expect(driver.sent()).toEqual(['commandAck']);
    driver.tick().ack(1n);
    expect(driver.state.outbox.entries).toEqual([]);
  });

  it('repeats no acknowledgement to a server whose log is another', () => {
    const driver = new Driver().open().receive(stop(1n));
    const result = { outcome: 'APPLIED', reasons: [] } as const;
    driver.event({ type: 'command_finished', logId: 'log-1', seq: 1n, result });
    driver.event({ type: 'closed', stream: 1, error: refusal('SERVER_UNREACHABLE') });
    const renewed = { ...goodWelcome, epoch: 2n, logId: 'log-2' };
    driver.at(driver.state.connectAt ?? 0).receive({ $case: 'welcome', value: renewed });
    expect(driver.sent()).toEqual([]);
  });

  it('forgets the commands of a log that is gone', () => {
    const driver = new Driver().open().receive(stop(1n));
    driver.event({ type: 'closed', stream: 1, error: refusal('SERVER_UNREACHABLE') });
    const renewed = { ...goodWelcome, epoch: 2n, logId: 'log-2' };
    driver.at(driver.state.connectAt ?? 0).receive({ $case: 'welcome', value: renewed });
    const result = { outcome: 'APPLIED', reasons: [] } as const;
    expect(driver.event({ type: 'command_finished', logId: 'log-1', seq: 1n, result }).types()).toEqual([]);
    expect(driver.state.log).toMatchObject({ logId: 'log-2', cursor: 0n });
    expect(driver.receive(stop(1n)).types()).toEqual(['send', 'apply']);
  });

  it('ends the session when more commands come than any window allows', () => {
    const driver = new Driver().open();
    for (let seq = 1n; seq <= 256n; seq += 1n) driver.receive(stop(seq));
    expect(driver.receive(stop(257n)).types()).toEqual(['abort']);
  });
});

describe('challenges in a session', () => {
  const attestation = Attestation.fromPartial({ challengeId: 'c-1' });

  it('answers once, and again on the next session while nobody has given a verdict', () => {
    const driver = new Driver().open().receive(challenge('c-1', 60_000));
    expect(driver.types()).toEqual(['attest']);
    expect(driver.receive(challenge('c-1', 60_000)).types()).toEqual([]);
    expect(driver.event({ type: 'attested', attestation }).sent()).toEqual(['attestation']);
    driver.event({ type: 'closed', stream: 1, error: refusal('SERVER_UNREACHABLE') });
    driver.at(driver.state.connectAt ?? 0).receive({ $case: 'welcome', value: goodWelcome });
    expect(driver.sent()).toEqual(['attestation']);
  });

  it('does not answer again after the verdict, or after the deadline', () => {
    const accepted = {
      challengeId: 'c-1',
      outcome: VerdictOutcome.ACCEPTED,
      expiresAt: serverTime,
      reasons: [],
      retryAfter: undefined,
    };
    const answered = new Driver().open().receive(challenge('c-1', 60_000));
    answered
      .event({ type: 'attested', attestation })
      .receive({ $case: 'verdict', value: accepted })
      .event({ type: 'closed', stream: 1, error: refusal('SERVER_UNREACHABLE') })
      .at(answered.state.connectAt ?? 0)
      .receive({ $case: 'welcome', value: goodWelcome });
    expect(answered.sent()).toEqual([]);
    expect(answered.state.attestedUntil).toEqual(serverTime);

    const late = new Driver().open().receive(challenge('c-1', 5_000));
    late.now = 5_000;
    expect(late.event({ type: 'attested', attestation }).sent()).toEqual([]);
  });

  it('answers each of several, and each answer once', () => {
    const driver = new Driver().open().receive(challenge('c-1', 60_000)).receive(challenge('c-2', 60_000));
    expect(driver.types()).toEqual(['attest']);
    driver.event({ type: 'attested', attestation });
    driver.event({ type: 'closed', stream: 1, error: refusal('SERVER_UNREACHABLE') });
    driver.at(driver.state.connectAt ?? 0).receive({ $case: 'welcome', value: goodWelcome });
    expect(driver.sent()).toEqual(['attestation']);
  });

  it('answers on the next session what was collected while there was none', () => {
    const driver = new Driver().open().receive(challenge('c-1', 60_000));
    driver.event({ type: 'closed', stream: 1, error: refusal('SERVER_UNREACHABLE') });
    expect(driver.event({ type: 'attested', attestation }).effects).toEqual([]);
    driver.at(driver.state.connectAt ?? 0).receive({ $case: 'welcome', value: goodWelcome });
    expect(driver.sent()).toEqual(['attestation']);
  });

  it('does not answer again on a session that opens after the deadline', () => {
    const driver = new Driver()
      .open()
      .receive(challenge('c-1', 5_000))
      .event({ type: 'attested', attestation });
    driver.event({ type: 'closed', stream: 1, error: refusal('SERVER_UNREACHABLE') });
    driver.at(5_000).receive({ $case: 'welcome', value: goodWelcome });
    expect(driver.sent()).toEqual([]);
  });

  it.each<[string, object]>([
    ['no id', { id: '' }],
    ['no deadline', { deadline: undefined }],
    ['a nonce of another length', { nonce: Buffer.alloc(31) }],
  ])('ends on one with %s', (_what, change) => {
    const good = challenge('c-1', 60_000);
    if (good?.$case !== 'challenge') throw new Error('not a challenge');
    const message = { $case: 'challenge', value: { ...good.value, ...change } } as const;
    expect(new Driver().open().receive(message).types()).toEqual(['abort']);
  });

  it('ignores a challenge that is too late, and ends on one that cannot be read', () => {
    expect(new Driver().open().receive(challenge('c-1', 0)).types()).toEqual([]);
    const garbage = { id: 'c-1', namespaces: [], nonce: Buffer.alloc(31), deadline: serverTime };
    expect(new Driver().open().receive({ $case: 'challenge', value: garbage }).types()).toEqual(['abort']);
  });

  it('remembers why it was rejected', () => {
    const driver = new Driver().open().receive({
      $case: 'verdict',
      value: {
        challengeId: 'c-1',
        outcome: VerdictOutcome.REJECTED,
        expiresAt: undefined,
        reasons: [
          {
            code: 'SNP_MEASUREMENT_UNKNOWN',
            message: 'm',
            remedy: 'r',
            participant: 'site-1',
            namespace: 'x-snp',
            path: '',
          },
        ],
        retryAfter: undefined,
      },
    });
    expect(driver.state.reasons[0]?.code).toBe('SNP_MEASUREMENT_UNKNOWN');
    expect(driver.state.attestedUntil).toBeUndefined();
  });
});

describe('a proven server', () => {
  it('keeps its session, and there is nothing to be tried again', () => {
    const driver = new Driver().open().event({ type: 'server_judged', stream: 1, reasons: [] });
    expect([driver.state.connectAt, driver.effects]).toEqual([undefined, []]);
  });
});

describe('an unproven server', () => {
  it('keeps its session, and gets another chance a minute later', () => {
    const driver = new Driver().open();
    driver.event({ type: 'server_judged', stream: 1, reasons: [reason('SERVER_UNPROVEN')] });
    expect(driver.state.active?.id).toBe(1);
    expect(driver.state.connectAt).toBe(60_000);
    expect(driver.receive(stop(1n)).types()).toEqual(['send', 'apply']);
  });

  it('is not judged by an answer about another stream', () => {
    const driver = new Driver().open();
    driver.event({ type: 'server_judged', stream: 9, reasons: [reason('SERVER_UNPROVEN')] });
    expect(driver.state.connectAt).toBeUndefined();
  });
});
