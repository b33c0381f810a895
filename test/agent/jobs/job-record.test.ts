import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  decide,
  emptyRecord,
  type JobEffect,
  type JobEvent,
  type JobRecord,
} from '@muster/agent/jobs/job-record.js';
import { reason } from '@muster/shared/reasons.js';

const now = new Date('2026-01-01T00:00:00Z');
const later = new Date('2026-01-01T01:00:00Z');
const why = reason('ATTESTATION_EXPIRED');

const permitted = (generation: bigint, expiresAt = later): JobEvent => ({
  type: 'permitted',
  permit: { jobId: 'job', generation, permit: 'jwt', expiresAt },
});
const forfeited = (generation: bigint): JobEvent => ({ type: 'forfeited', generation, reasons: [why] });
const asked = (runId: string): JobEvent => ({ type: 'asked', runId, now });
const started = (runId: string): JobEvent => ({ type: 'started', runId, pid: 100 });
const exited = (runId: string, exitCode = 0): JobEvent => ({ type: 'exited', runId, exitCode, reasons: [] });
const ended = (runId: string, complete = true): JobEvent => ({ type: 'ended', runId, complete });
const stop = (upTo: bigint): JobEvent => ({ type: 'stop', upTo, graceMs: 10, reasons: [why] });

function play(...events: JobEvent[]): { record: JobRecord; effects: JobEffect[][] } {
  let record = emptyRecord('job');
  const effects = events.map((event) => {
    const decision = decide(record, event);
    record = decision.record;
    return [...decision.effects];
  });
  return { record, effects };
}
const last = (...events: JobEvent[]): JobEffect[] => play(...events).effects.at(-1) ?? [];

describe('a start', () => {
  it.each<[string, JobEvent[], boolean]>([
    ['without a permit', [], false],
    ['under an expired permit', [permitted(1n, now)], false],
    ['after a stop of its generation', [permitted(1n), stop(1n)], false],
    ['after a stop that came before its permit', [stop(1n), permitted(1n)], false],
    ['a second time', [permitted(1n), asked('a')], true],
    ['while an older generation is being ended', [permitted(1n), asked('a'), permitted(2n)], false],
    ['after its permit was used', [permitted(1n), asked('a'), exited('a'), ended('a'), permitted(1n)], false],
  ])('%s is refused', (_name, before, final) => {
    expect(last(...before, asked('x'))).toMatchObject([{ type: 'refuse', final }]);
  });

  it('says why permission was taken back', () => {
    expect(last(permitted(1n), stop(1n), asked('x'))).toMatchObject([
      { reasons: [{ code: 'JOB_NOT_ADMITTED' }, { code: 'ATTESTATION_EXPIRED' }] },
    ]);
  });

  it('is granted under a permit, and under the next once the older run is gone', () => {
    expect(last(permitted(1n), asked('a'))).toMatchObject([{ type: 'grant', permit: { generation: 1n } }]);
    expect(last(permitted(1n), asked('a'), permitted(2n), ended('a'), asked('b'))).toMatchObject([
      { type: 'grant', permit: { generation: 2n } },
    ]);
  });
});

describe('a generation that cannot be permitted here', () => {
  it('is reported as failed, and cannot be started any more', () => {
    expect(last(forfeited(1n))).toMatchObject([
      { type: 'report', report: { generation: 1n, state: 'FAILED', exitCode: 127, reasons: [why] } },
    ]);
    expect(last(forfeited(1n), permitted(1n), asked('a'))).toMatchObject([{ type: 'refuse' }]);
  });

  it.each<[string, JobEvent[]]>([
    ['is permitted already', [permitted(1n)]],
    ['runs already', [permitted(1n), asked('a'), started('a')]],
  ])('goes on when it %s', (_name, before) => {
    const { record } = play(...before);
    expect(decide(record, forfeited(1n))).toEqual({ record, effects: [] });
  });

  it('does not take a newer permit back', () => {
    expect(last(permitted(2n), forfeited(1n), asked('a'))).toMatchObject([
      { type: 'grant', permit: { generation: 2n } },
    ]);
  });
});

describe('a run', () => {
  it('is reported when it starts and when nothing of it is left', () => {
    const { effects } = play(permitted(1n), asked('a'), started('a'), exited('a', 4), ended('a'));
    expect(effects.slice(2)).toMatchObject([
      [{ type: 'report', report: { state: 'RUNNING' } }],
      [{ type: 'end', runId: 'a' }],
      [{ type: 'report', report: { state: 'FAILED', exitCode: 4 } }],
    ]);
  });

  it('that is stopped is ended once and reported as stopped, however its command exits', () => {
    const { effects } = play(
      permitted(1n),
      asked('a'),
      started('a'),
      stop(1n),
      stop(1n),
      exited('a'),
      ended('a'),
    );
    expect(effects.slice(3)).toMatchObject([
      [{ type: 'end', graceMs: 10, reasons: [why] }],
      [],
      [],
      [{ type: 'report', report: { state: 'STOPPED', exitCode: 0, reasons: [why] } }],
    ]);
  });

  it('that is stopped keeps that outcome when its wrapper is lost, too', () => {
    const lost: JobEvent = { type: 'lost', runId: 'a', reasons: [reason('JOB_SUPERVISION_LOST')] };
    const { effects } = play(permitted(1n), asked('a'), started('a'), stop(1n), lost, ended('a'));
    expect(effects.slice(4)).toMatchObject([[], [{ type: 'report', report: { state: 'STOPPED' } }]]);
  });

  it('is reported as running once, and not when it was stopped before it had started', () => {
    expect(last(permitted(1n), asked('a'), started('a'), started('a'))).toEqual([]);
    const { record, effects } = play(permitted(1n), asked('a'), stop(1n), started('a'));
    expect(effects.at(-1)).toEqual([]);
    expect(record.run).toMatchObject({ phase: 'ending', pid: 100 });
  });

  it('that exited before the stop keeps its outcome', () => {
    expect(last(permitted(1n), asked('a'), exited('a'), stop(1n), ended('a'))).toMatchObject([
      { report: { state: 'COMPLETED' } },
    ]);
  });

  it('that could not be ended is not reported, still counts, and is tried again', () => {
    const before = [permitted(1n), asked('a'), started('a'), stop(1n), ended('a', false)];
    expect(play(...before).effects.at(-1)).toEqual([]);
    expect(play(...before).record.run).toMatchObject({ phase: 'stuck' });
    expect(last(...before, { type: 'retry', runId: 'a' })).toMatchObject([{ type: 'end', graceMs: 0 }]);
    expect(last(...before, stop(1n))).toMatchObject([{ type: 'end', graceMs: 10 }]);
  });

  it('of a newer generation is not touched by a stop of an older one', () => {
    expect(last(permitted(2n), asked('a'), stop(1n))).toEqual([]);
  });

  it('is ended when a newer generation is permitted, not when an older one is', () => {
    expect(last(permitted(2n), asked('a'), permitted(3n))).toMatchObject([{ type: 'end', runId: 'a' }]);
    expect(last(permitted(2n), asked('a'), permitted(1n))).toEqual([]);
  });

  it('that is not the current one has no say', () => {
    const { record } = play(permitted(1n), asked('a'));
    for (const event of [started('b'), exited('b'), ended('b')]) {
      expect(decide(record, event)).toEqual({ record, effects: [] });
    }
  });
});

describe('any history', () => {
  const generation = fc.bigInt(1n, 4n);
  const runId = fc.constantFrom('a', 'b', 'c');
  const event: fc.Arbitrary<JobEvent> = fc.oneof(
    generation.map((value) => permitted(value)),
    runId.map(asked),
    runId.map(started),
    runId.map((id) => exited(id)),
    runId.map((id) => ({ type: 'lost' as const, runId: id, reasons: [why] })),
    generation.map(stop),
    fc.tuple(runId, fc.boolean()).map(([id, complete]) => ended(id, complete)),
    runId.map((id) => ({ type: 'retry' as const, runId: id })),
  );

  it('grants each generation once, never after its stop, and never beside a run that is left', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        let record = emptyRecord('job');
        let stoppedUpTo = 0n;
        const granted = new Set<bigint>();
        for (const one of events) {
          const before = record;
          const { record: after, effects } = decide(before, one);
          for (const effect of effects) {
            if (effect.type !== 'grant') continue;
            const { generation: given } = effect.permit;
            expect(before.run).toBeUndefined();
            expect(given > stoppedUpTo).toBe(true);
            expect(granted.has(given)).toBe(false);
            granted.add(given);
          }
          if (one.type === 'stop' && one.upTo > stoppedUpTo) stoppedUpTo = one.upTo;
          expect(after.floor >= before.floor).toBe(true);
          record = after;
        }
      }),
    );
  });

  it('reports the end of a run at most once', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const ends = play(...events)
          .effects.flat()
          .flatMap((effect) =>
            effect.type === 'report' && effect.report.state !== 'RUNNING' ? [effect.report.generation] : [],
          );
        expect(new Set(ends).size).toBe(ends.length);
      }),
    );
  });
});
