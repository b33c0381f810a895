import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  adopt,
  emptyLog,
  finish,
  openLog,
  receive,
  type CommandLog,
  type CommandResult,
} from '@muster/agent/session/command-log.js';
import type { Command } from '@muster/shared/gen/muster/v1/agent.js';
import { reason } from '@muster/shared/reasons.js';

const applied: CommandResult = { outcome: 'APPLIED', reasons: [] };
const failed: CommandResult = { outcome: 'FAILED', reasons: [reason('JOB_STOP_INCOMPLETE')] };

const command = (seq: bigint): Pick<Command, 'seq' | 'id'> => ({ seq, id: `command-${seq}` });

function done(log: CommandLog, seq: bigint, result = applied): CommandLog {
  return finish(receive(log, command(seq)).log, seq, result);
}

describe('the command log', () => {
  it('moves its cursor only over commands that are finished, in whatever order they end', () => {
    const log = done(done(openLog(emptyLog, 'log-1'), 3n), 1n);
    expect(log.cursor).toBe(1n);
    expect(done(log, 2n).cursor).toBe(3n);
  });

  it('applies a command once, and repeats its result', () => {
    const { log, arrival } = receive(emptyLog, command(1n));
    expect(arrival.type).toBe('apply');
    expect(receive(log, command(1n)).arrival.type).toBe('running');
    const rejected: CommandResult = { outcome: 'REJECTED', reasons: [reason('COMMAND_NOT_UNDERSTOOD')] };
    expect(receive(finish(log, 1n, rejected), command(1n)).arrival).toEqual({
      type: 'finished',
      result: rejected,
    });
  });

  it('tries a command again that failed', () => {
    expect(receive(done(emptyLog, 1n, failed), command(1n)).arrival.type).toBe('apply');
  });

  it('knows the command with the highest number, whenever it came', () => {
    expect(emptyLog.latest.id).toBe('');
    const log = done(done(openLog(emptyLog, 'log-1'), 3n), 1n);
    expect(log.latest.id).toBe('command-3');
    expect(openLog(log, 'log-2').latest.id).toBe('');
  });

  it('starts anew with a new log', () => {
    const log = done(openLog(emptyLog, 'log-1'), 1n);
    expect(openLog(log, 'log-1')).toBe(log);
    expect(openLog(log, 'log-2')).toEqual({ ...emptyLog, logId: 'log-2' });
  });

  it('skips the commands that a snapshot stands for', () => {
    const log = adopt(done(openLog(emptyLog, 'log-1'), 8n), 7n);
    expect(log.cursor).toBe(8n);
    expect(adopt(log, 2n).cursor).toBe(8n);
  });

  it('takes no more commands at once than any window allows', () => {
    let log = emptyLog;
    for (let seq = 1n; seq <= 256n; seq += 1n) ({ log } = receive(log, command(seq)));
    expect(receive(log, command(257n)).arrival.type).toBe('overflow');
    expect(receive(log, command(256n)).arrival.type).toBe('running');
  });

  it('stays bounded when a number never comes', () => {
    let log = emptyLog;
    for (let seq = 2n; seq <= 2_000n; seq += 1n) log = done(log, seq);
    expect(log.results.size).toBeLessThanOrEqual(256);
    expect(log.cursor).toBe(2_000n);
  });

  it('does not move its cursor over a command that is still being applied, however long that takes', () => {
    let { log } = receive(emptyLog, command(2n));
    for (let seq = 3n; seq <= 1_000n; seq += 1n) log = done(log, seq);
    expect(log.cursor).toBe(0n);
    log = finish(log, 2n, applied);
    for (let seq = 1_001n; seq <= 1_300n; seq += 1n) log = done(log, seq);
    expect(log.cursor).toBe(1_300n);
  });

  it('never moves its cursor back, whatever it forgets', () => {
    let log = adopt(done(emptyLog, 3n), 1_000n);
    for (let seq = 1_002n; seq <= 1_300n; seq += 1n) {
      log = done(log, seq);
      expect(log.cursor >= 1_000n).toBe(true);
    }
  });

  it('remembers the results of 256 commands', () => {
    let log = emptyLog;
    for (let seq = 1n; seq <= 256n; seq += 1n) log = done(log, seq);
    expect(receive(log, command(1n)).arrival.type).toBe('finished');
    expect(receive(done(log, 257n), command(1n)).arrival.type).toBe('apply');
  });

  it('applies every command exactly once, whatever is repeated and reordered', () => {
    const seq = fc.bigInt({ min: 1n, max: 12n });
    const event = fc.oneof(
      fc.record({ type: fc.constant('arrive' as const), seq }),
      fc.record({ type: fc.constant('end' as const), seq }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        let log = openLog(emptyLog, 'log-1');
        const applications = new Map<bigint, number>();
        for (const { type, seq } of events) {
          const before = log.cursor;
          if (type === 'end') {
            if (log.running.has(seq)) log = finish(log, seq, applied);
          } else {
            const { log: next, arrival } = receive(log, command(seq));
            log = next;
            if (arrival.type === 'apply') applications.set(seq, (applications.get(seq) ?? 0) + 1);
          }
          expect(log.cursor >= before).toBe(true);
          for (let one = 1n; one <= log.cursor; one += 1n) expect(log.results.has(one)).toBe(true);
        }
        expect([...applications.values()].every((count) => count === 1)).toBe(true);
      }),
    );
  });
});
