import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { acknowledgement } from '@muster/agent/session/acknowledgement.js';
import { confirm, emptyOutbox, keep, resend, type Outgoing } from '@muster/agent/session/outbox.js';

const ack = (seq: bigint): Outgoing => acknowledgement(seq, 'APPLIED');
const check: Outgoing = {
  $case: 'jobCheck',
  value: { jobId: 'job-1', generation: 1n, accepted: true, reasons: [] },
};

describe('the outbox', () => {
  it('keeps a message until a heartbeat is acknowledged that was sent after it', () => {
    const outbox = keep(emptyOutbox, ack(1n), 4n);
    expect(confirm(outbox, 4n).entries).toHaveLength(1);
    expect(confirm(outbox, 5n).entries).toHaveLength(0);
  });

  it('keeps what was never sent, whatever is acknowledged', () => {
    expect(confirm(keep(emptyOutbox, check, undefined), 99n).entries).toHaveLength(1);
  });

  it('gives acknowledgements up when the log is a new one, and nothing else', () => {
    const outbox = keep(keep(emptyOutbox, ack(1n), 1n), check, 1n);
    expect(resend(outbox, true).entries).toHaveLength(2);
    expect(resend(outbox, false).entries.map(({ message }) => message.$case)).toEqual(['jobCheck']);
  });

  it('is bounded', () => {
    let outbox = emptyOutbox;
    for (let seq = 1n; seq <= 600n; seq += 1n) outbox = keep(outbox, ack(seq), undefined);
    expect(outbox.entries).toHaveLength(512);
    expect(outbox.entries.at(-1)?.message).toEqual(ack(600n));
  });

  it('never forgets a message that the server may not have', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.nat(20), (sentAfter, acknowledged) => {
        const left = confirm(keep(emptyOutbox, check, BigInt(sentAfter)), BigInt(acknowledged)).entries
          .length;
        expect(left).toBe(acknowledged > sentAfter ? 0 : 1);
      }),
    );
  });
});
