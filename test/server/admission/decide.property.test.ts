import { describe, expect, it } from '@jest/globals';
import { decide } from '@muster/server/admission/decide.js';
import { isTerminal, isLive, liveSites, siteOf } from '@muster/server/admission/job-state.js';
import { reason } from '@muster/shared/reasons.js';
import fc from 'fast-check';
import { anyHistory, jobAt, play, violations, type Decide } from './job-histories.js';

/** The invariants, for a state machine that may be broken on purpose. */
function findViolation(machine: Decide): readonly string[] {
  const result = fc.check(
    fc.property(anyHistory, (history) => violations(play(machine, history)).length === 0),
    { numRuns: 2_000, seed: 7 },
  );
  return result.failed
    ? violations(play(machine, result.counterexample?.[0] ?? { participants: [], steps: [] }))
    : [];
}

describe('the job state machine, for any history of events', () => {
  it('never breaks an invariant', () => {
    fc.assert(
      fc.property(anyHistory, (history) => {
        expect(violations(play(decide, history))).toEqual([]);
      }),
      { numRuns: 2_000 },
    );
  });

  it('ends stopped once every site of a stopping job has confirmed or lost its lease', () => {
    fc.assert(
      fc.property(anyHistory, fc.infiniteStream(fc.boolean()), (history, lapses) => {
        const reached = play(decide, history).at(-1)?.state ?? jobAt(history.participants);
        if (isTerminal(reached)) return;
        let { state } = decide(reached, {
          type: 'stop_requested',
          reasons: [reason('JOB_STOPPED_BY_OPERATOR')],
        });
        for (const participant of liveSites(state)) {
          const { value: lapsed } = lapses.next();
          ({ state } = decide(
            state,
            lapsed === true
              ? { type: 'lease_ended', participant }
              : { type: 'stop_applied', participant, generation: state.generation },
          ));
          expect(siteOf(state, participant).endedByLease).toBe(lapsed);
        }
        expect(state.phase).toBe('stopped');
        expect(Object.values(state.sites).some(isLive)).toBe(false);
      }),
    );
  });

  it('changes nothing when an event is repeated, apart from asking a resumed site again', () => {
    fc.assert(
      fc.property(anyHistory, (history) => {
        for (const { event, state } of play(decide, history)) {
          const again = decide(state, event);
          const stops = again.effects.filter(({ type }) => type === 'stop_job');
          if (event.type !== 'site_resumed' && event.type !== 'admission_requested')
            expect(stops).toEqual([]);
        }
      }),
    );
  });
});

describe('the properties notice a missing guard', () => {
  const guards: Record<string, Decide> = {
    'a yes of an older generation counts': (state, event) =>
      decide(state, event.type === 'site_checked' ? { ...event, generation: state.generation } : event),
    'a permit is given before all have answered': (state, event) => {
      if (event.type !== 'cleared') return decide(state, event);
      const sites = Object.fromEntries(
        Object.entries(state.sites).map(([name, site]) => [name, { ...site, check: 'accepted' as const }]),
      );
      return decide({ ...state, sites }, event);
    },
    'the end of one site ends the job': (state, event) => {
      const decision = decide(state, event);
      return event.type === 'stop_applied' && decision.state.phase === 'stopping'
        ? { ...decision, state: { ...decision.state, phase: 'stopped' } }
        : decision;
    },
    'a site that was told is told again': (state, event) => {
      const decision = decide(state, event);
      if (event.type !== 'permission_lost' || state.phase !== 'stopping') return decision;
      const { generation } = state;
      const again = { type: 'stop_job', participant: 'site-1', generation, reasons: [] } as const;
      return { ...decision, effects: [...decision.effects, again] };
    },
    'a job that has ended may be tried again': (state, event) =>
      event.type === 'admission_requested' && isTerminal(state)
        ? decide({ ...state, phase: 'blocked' }, event)
        : decide(state, event),
  };

  it.each(Object.keys(guards))('%s', (name) => {
    expect(findViolation(guards[name] ?? decide)).not.toEqual([]);
  });
});
