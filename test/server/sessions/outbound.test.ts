import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Downstream } from '@muster/server/sessions/connections.js';
import { Outbound } from '@muster/server/sessions/outbound.js';
import { refusal } from '@muster/shared/errors.js';

const ack = (seq: bigint): Downstream => ({ $case: 'heartbeatAck', value: { seq, leaseRenewed: true } });
const command = (seq: bigint): Downstream => ({
  $case: 'command',
  value: { seq, id: '', action: undefined },
});

describe('the messages to an agent', () => {
  let outbound: Outbound;
  /** How many messages the connection takes until the agent is behind. */
  let room: number;
  let sent: unknown[];
  let ended: unknown[];

  beforeEach(() => {
    [room, sent, ended] = [1, [], []];
    const responses = {
      send: ({ message }: { readonly message?: unknown }) => {
        sent.push(message);
        room -= 1;
        return room > 0;
      },
      end: (error?: unknown) => void ended.push(error),
    };
    outbound = new Outbound(responses);
  });

  const drain = (messages: number): void => {
    room = messages;
    outbound.drained();
  };

  it('are sent at once to an agent that reads', () => {
    room = Infinity;
    for (let seq = 1n; seq <= 100n; seq += 1n) expect(outbound.push(command(seq))).toBe(true);
    expect(sent).toHaveLength(100);
  });

  it('wait in order while the agent is behind, with the newest of the heartbeat acknowledgements first', () => {
    for (const message of [command(1n), ack(1n), command(2n), ack(2n), command(3n)]) outbound.push(message);
    expect(sent).toEqual([command(1n)]);
    drain(2);
    expect(sent).toEqual([command(1n), ack(2n), command(2n)]);
    drain(2);
    expect(sent).toEqual([command(1n), ack(2n), command(2n), command(3n)]);
  });

  it('are at most 64 that wait, beside an acknowledgement', () => {
    for (let seq = 1n; seq <= 65n; seq += 1n) expect(outbound.push(command(seq))).toBe(true);
    expect(outbound.push(command(66n))).toBe(false);
    expect(outbound.push(ack(1n))).toBe(true);
  });

  it('are all sent before an end in order', () => {
    outbound.push(command(1n));
    outbound.push(command(2n));
    outbound.end();
    expect(outbound.push(command(3n))).toBe(false);
    expect(ended).toEqual([]);
    drain(2);
    expect([sent, ended]).toEqual([[command(1n), command(2n)], [undefined]]);
  });

  it('are dropped by an end with an error, which comes at once', () => {
    outbound.push(command(1n));
    outbound.push(command(2n));
    const error = refusal('SESSION_FENCED');
    outbound.end(error);
    drain(2);
    expect([sent, ended]).toEqual([[command(1n)], [error]]);
  });
});
