import { reason, type Reason } from '@muster/shared/reasons.js';
import { blocked } from './decide-admission.js';
import { unchanged, type JobDecision, type JobEffect, type JobEvent } from './job-event.js';
import {
  addReasons,
  isPermitted,
  isTerminal,
  liveSites,
  siteOf,
  withSite,
  type JobPhase,
  type JobState,
} from './job-state.js';

type StopEvent = Extract<
  JobEvent,
  {
    type:
      | 'framework_reported'
      | 'permit_refused'
      | 'permit_expired'
      | 'stop_requested'
      | 'permission_lost'
      | 'recovered';
  }
>;

/** Decides what takes permission back. */
export function decideStop(state: JobState, event: StopEvent): JobDecision {
  switch (event.type) {
    case 'stop_requested':
      return stopRequested(state, event.reasons);
    case 'permission_lost':
      return permissionLost(state, event.site, event.reasons);
    case 'permit_refused': {
      const counts = state.generation === event.generation && isPermitted(state);
      return counts ? stopAll(state, event.reasons) : unchanged(state);
    }
    case 'permit_expired':
      return state.generation === event.generation ? permitExpired(state) : unchanged(state);
    case 'framework_reported':
      return frameworkReported(state, event);
    case 'recovered':
      return recovered(state);
    default:
      return event satisfies never;
  }
}

/** Tells the sites named to stop the current generation, those that were not told before. */
export function stopSites(
  state: JobState,
  participants: readonly string[],
  reasons: readonly Reason[],
): JobDecision {
  const { generation } = state;
  const untold = participants.filter((name) => {
    const { run } = siteOf(state, name);
    return run === 'permitted' || run === 'running';
  });
  const stopping = { run: 'stopping', reasons, stoppedThrough: generation } as const;
  const told = untold.map((name) => [name, { ...siteOf(state, name), ...stopping }] as const);
  const next = { ...state, sites: { ...state.sites, ...Object.fromEntries(told) } };
  const effects = untold.flatMap((participant): JobEffect[] => [
    { type: 'stop_job', participant, generation, reasons },
    { type: 'watch_lease', participant },
  ]);
  return { state: untold.length === 0 ? state : next, effects };
}

/**
 * Follows the sites: when none can run the job any more it has ended; when every site was told to stop, or has stopped,
 * it is stopping. A site whose part was taken back alone does not change how the others' work is called.
 */
export function settle({ state, effects }: JobDecision): JobDecision {
  if (!isPermitted(state) && state.phase !== 'stopping') return { state, effects };
  const runs = Object.values(state.sites).map(({ run }) => run);
  if (liveSites(state).length === 0) {
    const phase: JobPhase =
      state.phase === 'stopping' || runs.every((run) => run === 'stopped')
        ? 'stopped'
        : runs.includes('failed')
          ? 'failed'
          : 'completed';
    const ended: JobState = { ...state, phase, reasons: phase === 'completed' ? [] : why(state), permit: '' };
    const audit: JobEffect = { type: 'audit', action: 'job.end', decision: 'done', reasons: ended.reasons };
    return { state: ended, effects: [...effects, audit] };
  }
  const over = isPermitted(state) && runs.every((run) => run === 'stopping' || run === 'stopped');
  return over
    ? { state: { ...state, phase: 'stopping', reasons: why(state), permit: '' }, effects }
    : { state, effects };
}

function why({ reasons, sites }: JobState): readonly Reason[] {
  return Object.values(sites).reduce((sofar, site) => addReasons(sofar, site.reasons), reasons);
}

function stopAll(state: JobState, reasons: readonly Reason[]): JobDecision {
  const told = stopSites(state, Object.keys(state.sites), reasons);
  const stopping: JobState = {
    ...told.state,
    phase: 'stopping',
    reasons: addReasons([], reasons),
    permit: '',
  };
  return settle({
    state: stopping,
    effects: [{ type: 'audit', action: 'job.stop', decision: 'done', reasons }, ...told.effects],
  });
}

function stopRequested(state: JobState, reasons: readonly Reason[]): JobDecision {
  if (isTerminal(state)) return unchanged(state);
  if (state.phase === 'stopping') return anotherCause(state, reasons);
  if (isPermitted(state)) return stopAll(state, reasons);
  const disarm: JobEffect[] = state.phase === 'checking' ? [{ type: 'disarm_check_deadline' }] : [];
  return {
    state: { ...state, phase: 'stopped', reasons: addReasons([], reasons) },
    effects: [...disarm, { type: 'audit', action: 'job.stop', decision: 'done', reasons }],
  };
}

/** What holds no permit has nothing to lose: a job that is being checked is blocked, and may be tried again. */
function permissionLost(state: JobState, site: string | undefined, reasons: readonly Reason[]): JobDecision {
  if (site !== undefined && !Object.hasOwn(state.sites, site)) return unchanged(state);
  if (state.phase === 'checking') {
    // A site that has refused already blocks the job once the others have answered too.
    const refused = site !== undefined && siteOf(state, site).check === 'refused';
    return refused ? unchanged(state) : blocked(state, reasons);
  }
  if (state.phase === 'stopping') return anotherCause(state, reasons);
  if (!isPermitted(state)) return unchanged(state);
  if (site === undefined) return stopAll(state, reasons);
  const { state: next, effects } = stopSites(state, [site], reasons);
  if (effects.length === 0) return unchanged(state);
  return settle({
    state: next,
    effects: [{ type: 'audit', action: 'job.stop', decision: 'done', reasons }, ...effects],
  });
}

function anotherCause(state: JobState, more: readonly Reason[]): JobDecision {
  const reasons = addReasons(state.reasons, more);
  return reasons === state.reasons ? unchanged(state) : { state: { ...state, reasons }, effects: [] };
}

/** The framework's word ends the job; what sites still hold of it is taken back. */
function frameworkReported(
  state: JobState,
  { generation, run, reasons }: Extract<JobEvent, { type: 'framework_reported' }>,
): JobDecision {
  if (generation !== state.generation || !isPermitted(state)) return unchanged(state);
  if (run === 'running') {
    return state.phase === 'running' ? unchanged(state) : unchanged({ ...state, phase: 'running' });
  }
  const unused = liveSites(state).filter((name) => siteOf(state, name).run === 'permitted');
  const told = stopSites(state, liveSites(state), [reason('JOB_ENDED_BY_FRAMEWORK')]);
  const next = unused.reduce((sofar, name) => withSite(sofar, name, { run }), told.state);
  return {
    state: { ...next, phase: run, reasons: run === 'failed' ? reasons : [], permit: '' },
    effects: [...told.effects, { type: 'audit', action: 'job.end', decision: 'done', reasons }],
  };
}

/**
 * A site that has not started the job cannot start it any more. A framework that runs the processes itself says only
 * that the job runs, so then no site is taken to have missed its start.
 */
function permitExpired(state: JobState): JobDecision {
  const runs = Object.values(state.sites).map(({ run }) => run);
  const byFramework = state.phase === 'running' && runs.every((run) => run === 'permitted');
  if (!isPermitted(state) || byFramework) return unchanged(state);
  const idle = Object.keys(state.sites).filter((name) => siteOf(state, name).run === 'permitted');
  const told = stopSites(state, idle, [reason('JOB_PERMIT_UNUSED')]);
  return idle.length === 0 ? unchanged(state) : settle(told);
}

/** Answers that were under way when the server ended are not known; what sites may run is watched on. */
function recovered(state: JobState): JobDecision {
  if (state.phase === 'checking') return blocked(state, [reason('JOB_CHECK_INTERRUPTED')]);
  const { generation, permit } = state;
  return {
    state,
    effects: [
      ...liveSites(state).map((participant): JobEffect => ({ type: 'watch_lease', participant })),
      ...(permit === '' ? [] : [{ type: 'expect_start', generation, permit } as const]),
    ],
  };
}
