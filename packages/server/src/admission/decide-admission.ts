import { reason, type Reason } from '@muster/shared/reasons.js';
import { unchanged, type JobDecision, type JobEffect, type JobEvent } from './job-event.js';
import { addReasons, siteOf, untouchedSite, withSite, type JobState, type SiteState } from './job-state.js';

type AdmissionEvent = Extract<
  JobEvent,
  { type: 'barred' | 'admission_requested' | 'site_checked' | 'check_deadline' | 'cleared' | 'denied' }
>;

/** Decides the events from a request for admission to the permit or the refusal. */
export function decideAdmission(state: JobState, event: AdmissionEvent): JobDecision {
  switch (event.type) {
    case 'barred':
      return mayBeTried(state) ? blocked({ ...state, barred: true }, event.reasons) : unchanged(state);
    case 'admission_requested':
      return requested(state, event.reasons);
    case 'site_checked':
      return checked(state, event);
    case 'check_deadline':
      return isChecking(state, event.generation) ? outOfTime(state) : unchanged(state);
    case 'cleared':
      return isChecking(state, event.generation) && allAccepted(state)
        ? admitted(state, event.permit)
        : unchanged(state);
    case 'denied':
      return isChecking(state, event.generation) ? blocked(state, event.reasons) : unchanged(state);
    default:
      return event satisfies never;
  }
}

/** Refuses the job for now: it holds no permit and may be tried again. */
export function blocked(state: JobState, reasons: readonly Reason[]): JobDecision {
  const disarm: JobEffect[] = state.phase === 'checking' ? [{ type: 'disarm_check_deadline' }] : [];
  return {
    state: { ...state, phase: 'blocked', reasons: addReasons([], reasons), permit: '' },
    effects: [...disarm, { type: 'audit', action: 'job.admission', decision: 'refused', reasons }],
  };
}

function mayBeTried({ phase, barred }: JobState): boolean {
  return (phase === 'submitted' || phase === 'blocked') && !barred;
}

function isChecking(state: JobState, generation: number): boolean {
  return state.phase === 'checking' && state.generation === generation;
}

function allAccepted({ sites }: JobState): boolean {
  return Object.values(sites).every(({ check }) => check === 'accepted');
}

function requested(state: JobState, reasons: readonly Reason[]): JobDecision {
  if (!mayBeTried(state)) return unchanged(state);
  if (reasons.length > 0) return blocked(state, reasons);
  const participants = Object.keys(state.sites);
  if (participants.length === 0) return blocked(state, [reason('JOB_NO_PARTICIPANTS')]);
  const stopped = Object.values(state.sites).map(({ stoppedThrough }) => stoppedThrough);
  const generation = Math.max(state.generation, ...stopped) + 1;
  const asked = ({ stoppedThrough }: SiteState): SiteState => ({
    ...untouchedSite,
    check: 'pending',
    stoppedThrough,
  });
  const sites = Object.fromEntries(participants.map((name) => [name, asked(siteOf(state, name))]));
  return {
    state: { ...state, phase: 'checking', generation, reasons: [], sites },
    effects: [{ type: 'check_job', participants, generation }],
  };
}

function checked(state: JobState, event: Extract<JobEvent, { type: 'site_checked' }>): JobDecision {
  const { participant, generation, accepted } = event;
  if (!isChecking(state, generation) || siteOf(state, participant).check !== 'pending') {
    return unchanged(state);
  }
  const reasons = accepted ? [] : addReasons([reason('JOB_CHECK_REFUSED', { participant })], event.reasons);
  const next = withSite(state, participant, { check: accepted ? 'accepted' : 'refused', reasons });
  const refused: JobEffect[] = accepted ? [] : [{ type: 'site_refused', participant, reasons }];
  if (Object.values(next.sites).some(({ check }) => check === 'pending')) {
    return { state: next, effects: refused };
  }
  const answered = allAccepted(next) ? signed(next) : blocked(next, refusals(next));
  return { state: answered.state, effects: [...refused, ...answered.effects] };
}

function signed(state: JobState): JobDecision {
  const { generation } = state;
  return { state, effects: [{ type: 'disarm_check_deadline' }, { type: 'sign_permit', generation }] };
}

/** Silence is a no. Once all have answered, the deadline means nothing. */
function outOfTime(state: JobState): JobDecision {
  const silent = Object.keys(state.sites).filter((name) => siteOf(state, name).check === 'pending');
  if (silent.length === 0) return unchanged(state);
  const next = silent.reduce(
    (sofar, participant) =>
      withSite(sofar, participant, {
        check: 'refused',
        reasons: [reason('JOB_CHECK_TIMEOUT', { participant })],
      }),
    state,
  );
  return blocked(next, refusals(next));
}

function refusals({ sites }: JobState): readonly Reason[] {
  return Object.values(sites).flatMap(({ check, reasons }) => (check === 'refused' ? reasons : []));
}

function admitted(state: JobState, permit: string): JobDecision {
  const { generation } = state;
  const participants = Object.keys(state.sites);
  const next = participants.reduce(
    (sofar, participant) => withSite(sofar, participant, { run: 'permitted', reasons: [] }),
    state,
  );
  return {
    state: { ...next, phase: 'admitted', reasons: [], permit },
    effects: [
      { type: 'audit', action: 'job.admission', decision: 'allowed', reasons: [] },
      { type: 'expect_start', generation, permit },
      ...participants.flatMap((participant): JobEffect[] => [
        { type: 'permit_job', participant, generation, permit },
        { type: 'watch_lease', participant },
      ]),
    ],
  };
}
