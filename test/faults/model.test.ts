import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { allGuards, type Guards } from './model/stream.js';
import { anyHistory, violationsOf, type Happening } from './model/world.js';

/** The state machines of server and agent together, over streams that lose, stall and overlap, with crashes of both. */
describe('server and agent, for any history', () => {
  it('keep every invariant', () => {
    fc.assert(
      fc.property(anyHistory, (history) => {
        expect(violationsOf(history)).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
  }, 120_000);

  it('notice a restored database that has given the same numbers again, and not without latest', () => {
    const carried: Happening = { type: 'both', which: 0 };
    const history: Happening[] = [
      carried,
      { type: 'backUp' },
      // Two commands, the second of which is a permit.
      { type: 'admit' },
      carried,
      { type: 'restore' },
      // Two others, before the agent is back.
      { type: 'admit' },
      { type: 'crashServer' },
      { type: 'crashServer' },
      { type: 'admit' },
      { type: 'period', ms: 4_000, up: true, down: true },
      { type: 'start' },
    ];
    expect(violationsOf(history)).toEqual([]);
    expect(violationsOf(history, { ...allGuards, latest: false })).toEqual([
      'a process runs that the server counts as ended',
    ]);
  });

  it.each<[keyof Guards, string]>([
    ['agentClock', 'a process runs after the bound from the loss of its proof'],
    ['fencing', 'an older session wrote'],
    ['lease', 'a process runs after the bound from the loss of its proof'],
    ['margin', 'a process runs that the server counts as ended'],
    ['memory', 'a command was applied twice'],
    ['rename', 'a process runs that the server counts as ended'],
    ['replay', 'was lost'],
    ['sendTime', 'a process runs after the bound from the loss of its proof'],
    ['serverClock', 'a process runs that the server counts as ended'],
  ])(
    'do not without %s',
    (guard, violation) => {
      const guards = { ...allGuards, [guard]: false };
      const broken = fc.check(
        fc.property(
          anyHistory,
          (history) => !violationsOf(history, guards).some((found) => found.includes(violation)),
        ),
        { numRuns: 10_000, seed: 11, endOnFailure: true },
      );
      expect(broken.failed).toBe(true);
    },
    120_000,
  );
});
