import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Downstream } from '@muster/server/sessions/connections.js';
import { Outbound } from '@muster/server/sessions/outbound.js';
import { refusal } from '@muster/shared/errors.js';
import type { SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';
import { FakeClock } from '../../support/fake-clock.js';

const ack = (seq: bigint): Downstream => ({ $case: 'heartbeatAck', value: { seq, leaseRenewed: true } });
const command = (seq: bigint): Downstream => ({
  $case: 'command',
  value: { seq, id: '', action: undefined },
});

describe('the queue of messages to an agent', () => {
  let clock: FakeClock;
  let blocked: number;
  let outbound: Outbound;

  beforeEach(() => {
    clock = new FakeClock();
    blocked = 0;
    outbound = new Outbound(clock, () => (blocked += 1));
  });

  const drain = async (): Promise<(SessionResponse['message'] & object)[]> => {
    const messages: (SessionResponse['message'] & object)[] = [];
    for await (const { message } of outbound.messages()) if (message !== undefined) messages.push(message);
    return messages;
  };

  it('keeps the order, and only the newest of the heartbeat acknowledgements', async () => {
    for (const message of [command(1n), ack(1n), command(2n), ack(2n), ack(3n)]) outbound.push(message);
    outbound.end();
    expect(await drain()).toEqual([ack(3n), command(1n), command(2n)]);
  });

  it('takes 64 messages and then only acknowledgements', () => {
    for (let seq = 1n; seq <= 64n; seq += 1n) expect(outbound.push(command(seq))).toBe(true);
    expect(outbound.push(command(65n))).toBe(false);
    expect(outbound.push(ack(1n))).toBe(true);
  });

  it('tells when nothing is read for 15 s, and not while an agent reads', async () => {
    outbound.push(command(1n));
    outbound.push(command(2n));
    const reader = outbound.messages();
    await clock.advance(14_999);
    await reader.next();
    await clock.advance(14_999);
    expect(blocked).toBe(0);
    await clock.advance(1);
    expect(blocked).toBe(1);
  });

  it('waits without end for an agent that has nothing to read', async () => {
    const reading = drain();
    await clock.advance(60_000);
    outbound.push(command(1n));
    await clock.advance(60_000);
    expect(blocked).toBe(0);
    outbound.end();
    expect(await reading).toEqual([command(1n)]);
  });

  it('ends with an error at once', async () => {
    outbound.push(command(1n));
    outbound.end(refusal('SESSION_FENCED'));
    expect(outbound.push(command(2n))).toBe(false);
    await expect(drain()).rejects.toMatchObject({ code: 'SESSION_FENCED' });
  });
});
