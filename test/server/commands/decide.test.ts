import { describe, expect, it } from '@jest/globals';
import {
  decideDelivery,
  openDelivery,
  type Delivery,
  type DeliveryEffect,
  type DeliveryEvent,
  type QueuedCommand,
} from '@muster/server/commands/decide.js';
import fc from 'fast-check';

const limits = { window: 3, resendMs: 10_000 };
const ordinary = (...seqs: number[]): QueuedCommand[] => seqs.map((seq) => ({ seq, urgent: false }));
const sends = (effects: readonly DeliveryEffect[]): number[] =>
  effects.filter(({ type }) => type === 'send').map(({ seq }) => seq);

/** A delivery that is driven event by event. */
class Driver {
  state: Delivery;
  dueAt: number | undefined;

  constructor(unfinished: readonly QueuedCommand[]) {
    this.state = openDelivery(unfinished);
  }

  on(event: DeliveryEvent, at = 0): readonly DeliveryEffect[] {
    const { state, effects, dueAt } = decideDelivery(this.state, event, at, limits);
    this.state = state;
    this.dueAt = dueAt;
    return effects;
  }
}

describe('the delivery of commands', () => {
  it('sends in order and stops at the window', () => {
    const driver = new Driver(ordinary(1, 2, 3, 4, 5));
    expect(sends(driver.on({ type: 'due' }))).toEqual([1, 2, 3]);
    expect(sends(driver.on({ type: 'due' }))).toEqual([]);
    expect(sends(driver.on({ type: 'finished', seq: 1 }))).toEqual([4]);
  });

  it('lets a command that takes permission back overtake a full window', () => {
    const driver = new Driver(ordinary(1, 2, 3, 4));
    driver.on({ type: 'due' });
    driver.on({ type: 'enqueued', command: { seq: 5, urgent: true } });
    expect(sends(driver.on({ type: 'due' }))).toEqual([5]);
  });

  it('sends urgent commands first', () => {
    const driver = new Driver([...ordinary(1), { seq: 2, urgent: true }]);
    expect(sends(driver.on({ type: 'due' }))).toEqual([2, 1]);
  });

  it('sends again after 10 s without an acknowledgement, and not before', () => {
    const driver = new Driver(ordinary(1));
    driver.on({ type: 'due' }, 5);
    expect(driver.dueAt).toBe(10_005);
    expect(sends(driver.on({ type: 'due' }, 10_004))).toEqual([]);
    expect(sends(driver.on({ type: 'due' }, 10_005))).toEqual([1]);
  });

  it('takes RECEIVED for an arrival, not for the end', () => {
    const driver = new Driver(ordinary(1));
    driver.on({ type: 'due' });
    expect(driver.on({ type: 'acknowledged', seq: 1, outcome: 'RECEIVED' })).toHaveLength(1);
    expect(driver.dueAt).toBeUndefined();
    expect(driver.on({ type: 'acknowledged', seq: 1, outcome: 'APPLIED' })).toEqual([
      { type: 'tell', seq: 1, outcome: 'APPLIED' },
    ]);
  });

  it('tells a repeated RECEIVED once', () => {
    const driver = new Driver(ordinary(1));
    driver.on({ type: 'due' });
    driver.on({ type: 'acknowledged', seq: 1, outcome: 'RECEIVED' });
    expect(driver.on({ type: 'acknowledged', seq: 1, outcome: 'RECEIVED' })).toEqual([]);
  });

  it('ignores acknowledgements of what it does not know or what is finished', () => {
    const driver = new Driver(ordinary(1));
    driver.on({ type: 'finished', seq: 1 });
    expect(driver.on({ type: 'acknowledged', seq: 1, outcome: 'APPLIED' })).toEqual([]);
    expect(driver.on({ type: 'acknowledged', seq: 99, outcome: 'APPLIED' })).toEqual([]);
  });

  it('queues a command again when the connection took no more', () => {
    const driver = new Driver(ordinary(1));
    driver.on({ type: 'due' });
    driver.on({ type: 'requeued', seq: 1 });
    expect(driver.dueAt).toBeUndefined();
    expect(sends(driver.on({ type: 'due' }))).toEqual([1]);
  });

  it('loses no command and tells each outcome once, whatever is lost, repeated or reordered', () => {
    const step = fc.record({
      kind: fc.constantFrom('enqueue', 'urgent', 'tick', 'deliver', 'ack', 'ackTwice', 'reconnect'),
      pick: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const unfinished: QueuedCommand[] = [];
        const told = new Map<number, number>();
        const wire: number[] = [];
        const atAgent = new Set<number>();
        let driver = new Driver([]);
        let [at, lastSeq] = [0, 0];
        const on = (event: DeliveryEvent): void => {
          for (const effect of driver.on(event, at)) {
            if (effect.type === 'send') wire.push(effect.seq);
            else {
              told.set(effect.seq, (told.get(effect.seq) ?? 0) + 1);
              unfinished.splice(
                unfinished.findIndex(({ seq }) => seq === effect.seq),
                1,
              );
              on({ type: 'finished', seq: effect.seq });
            }
          }
          for (const urgent of [true, false]) {
            const underWay = driver.state.pending.filter(
              (command) => command.urgent === urgent && command.progress !== 'waiting',
            );
            expect(underWay.length).toBeLessThanOrEqual(limits.window);
          }
        };
        const ack = (pick: number): void => {
          const seqs = [...atAgent];
          const seq = seqs[pick % Math.max(1, seqs.length)];
          if (seq !== undefined) on({ type: 'acknowledged', seq, outcome: 'APPLIED' });
        };
        for (const { kind, pick } of steps) {
          if (kind === 'enqueue' || kind === 'urgent') {
            lastSeq += 1;
            const command = { seq: lastSeq, urgent: kind === 'urgent' };
            unfinished.push(command);
            on({ type: 'enqueued', command });
            on({ type: 'due' });
          } else if (kind === 'tick') {
            at += 10_000;
            on({ type: 'due' });
          } else if (kind === 'deliver') {
            const [seq] = wire.splice(pick % Math.max(1, wire.length), 1);
            if (seq !== undefined) atAgent.add(seq);
          } else if (kind === 'reconnect') {
            wire.length = 0;
            driver = new Driver([...unfinished]);
            on({ type: 'due' });
          } else {
            ack(pick);
            if (kind === 'ackTwice') ack(pick);
          }
        }
        // From here on the network behaves: everything must finish.
        for (let round = 0; unfinished.length > 0 && round < 1000; round += 1) {
          for (const seq of wire.splice(0)) {
            atAgent.add(seq);
            on({ type: 'acknowledged', seq, outcome: 'APPLIED' });
          }
          at += 10_000;
          on({ type: 'due' });
        }
        expect([...told.keys()].toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: lastSeq }, (_, index) => index + 1),
        );
        expect([...told.values()].every((times) => times === 1)).toBe(true);
      }),
    );
  });
});
