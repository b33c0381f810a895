import { reason } from '@muster/shared/reasons.js';
import { blocked } from './decide-admission.js';
import { settle, stopSites } from './decide-stop.js';
import { unchanged, type JobDecision, type JobEvent } from './job-event.js';
import {
  addReasons,
  isLive,
  isPermitted,
  siteOf,
  withSite,
  type JobState,
  type SiteState,
} from './job-state.js';

type SiteEvent = Extract<
  JobEvent,
  {
    type:
      'site_reported' | 'site_resumed' | 'report_overdue' | 'stop_applied' | 'stop_failed' | 'lease_ended';
  }
>;

/** Decides what is seen of a job at one of its sites. */
export function decideSite(state: JobState, event: SiteEvent): JobDecision {
  if (!Object.hasOwn(state.sites, event.participant)) return unchanged(state);
  const site = siteOf(state, event.participant);
  switch (event.type) {
    case 'site_reported':
      return reported(state, site, event);
    case 'site_resumed':
      return resumed(state, site, event);
    case 'report_overdue': {
      const overdue = event.generation === state.generation && site.run === 'running';
      const reasons = [reason('JOB_SUPERVISION_LOST', { participant: event.participant })];
      return overdue ? ended(state, event.participant, { run: 'failed', reasons }) : unchanged(state);
    }
    case 'stop_applied': {
      const applied = event.generation >= state.generation && site.run === 'stopping';
      return applied ? ended(state, event.participant, { run: 'stopped' }) : unchanged(state);
    }
    case 'stop_failed': {
      const counts = event.generation >= state.generation && site.run === 'stopping';
      const reasons = addReasons(site.reasons, event.reasons);
      return counts && reasons !== site.reasons
        ? unchanged(withSite(state, event.participant, { reasons }))
        : unchanged(state);
    }
    case 'lease_ended':
      return isLive(site) ? lapsed(state, event.participant) : unchanged(state);
    default:
      return event satisfies never;
  }
}

function ended(state: JobState, participant: string, change: Partial<SiteState>): JobDecision {
  return settle(unchanged(withSite(state, participant, change)));
}

/**
 * The agent has ended its jobs by itself. A permit or a report that is still on its way must not revive the job there,
 * so the site is told to stop all the same.
 */
function lapsed(state: JobState, participant: string): JobDecision {
  const lapse = [reason('LEASE_EXPIRED', { participant })];
  const told = stopSites(state, [participant], lapse);
  const reasons = addReasons(siteOf(told.state, participant).reasons, lapse);
  const next = withSite(told.state, participant, { run: 'stopped', reasons, endedByLease: true });
  return settle({ state: next, effects: told.effects.filter(({ type }) => type !== 'watch_lease') });
}

function reported(
  state: JobState,
  site: SiteState,
  event: Extract<JobEvent, { type: 'site_reported' }>,
): JobDecision {
  const { participant, generation, run } = event;
  if (generation === state.generation && isLive(site)) {
    if (run === 'running') return started(state, site, participant);
    const { exitCode } = event;
    return ended(state, participant, { run, exitCode, reasons: addReasons(site.reasons, event.reasons) });
  }
  const permitted = generation === state.generation && site.run !== 'none';
  const told = generation <= site.stoppedThrough;
  return run === 'running' && !permitted && !told
    ? unasked(state, participant, generation)
    : unchanged(state);
}

function started(state: JobState, site: SiteState, participant: string): JobDecision {
  if (site.run !== 'permitted') return unchanged(state);
  const next = withSite(state, participant, { run: 'running' });
  return unchanged(isPermitted(state) ? { ...next, phase: 'running' } : next);
}

/**
 * The opening of a session shows what really runs. A generation that may not run there is told to stop, again if need
 * be; a run that is gone must be explained.
 */
function resumed(
  state: JobState,
  site: SiteState,
  { participant, generation }: Extract<JobEvent, { type: 'site_resumed' }>,
): JobDecision {
  if (generation === undefined) {
    return site.run === 'running'
      ? { state, effects: [{ type: 'expect_report', participant, generation: state.generation }] }
      : unchanged(state);
  }
  if (generation === state.generation && isLive(site)) return started(state, site, participant);
  const pending = site.run === 'stopping' && generation <= site.stoppedThrough;
  return pending ? unchanged(state) : unasked(state, participant, generation);
}

/**
 * A site runs what it has no permit for. It is told to stop that generation and every earlier one; a job that is being
 * checked is not admitted.
 */
function unasked(state: JobState, participant: string, generation: number): JobDecision {
  const site = siteOf(state, participant);
  const code = generation < state.generation ? 'JOB_SUPERSEDED' : 'JOB_NOT_ADMITTED';
  const reasons = [reason(code, { participant })];
  const covered = isLive(site) && generation >= state.generation;
  const next = withSite(state, participant, {
    stoppedThrough: Math.max(generation, site.stoppedThrough),
    ...(covered && { run: 'stopping', reasons }),
  });
  const { state: after, effects } =
    state.phase === 'checking' ? blocked(next, reasons) : settle(unchanged(next));
  return {
    state: after,
    effects: [
      { type: 'stop_job', participant, generation, reasons },
      ...(covered ? [{ type: 'watch_lease', participant } as const] : []),
      ...effects,
    ],
  };
}
