import type { decide } from '@muster/server/admission/decide.js';
import type { JobEffect, JobEvent, JobDecision } from '@muster/server/admission/job-event.js';
import { isLive, isTerminal, newJob, siteOf, type JobState } from '@muster/server/admission/job-state.js';
import { reason } from '@muster/shared/reasons.js';
import fc from 'fast-check';

export type Decide = typeof decide;

const sites = ['site-1', 'site-2', 'site-3'] as const;
const participant = fc.constantFrom(...sites, 'stranger');
const generation = fc.integer({ min: 0, max: 4 });
const reasons = fc.constantFrom([], [reason('PARTICIPANT_SILENT')], [reason('ATTESTATION_EXPIRED')]);

/** Any event, plausible or not. */
const anyEvent: fc.Arbitrary<JobEvent> = fc.oneof(
  fc.record({ type: fc.constant('barred' as const), reasons }),
  fc.record({ type: fc.constant('admission_requested' as const), reasons }),
  fc.record({
    type: fc.constant('site_checked' as const),
    participant,
    generation,
    accepted: fc.boolean(),
    reasons,
  }),
  fc.record({ type: fc.constant('check_deadline' as const), generation }),
  fc.record({ type: fc.constant('cleared' as const), generation, permit: fc.constant('permit') }),
  fc.record({ type: fc.constant('denied' as const), generation, reasons }),
  fc.record({ type: fc.constant('permit_expired' as const), generation }),
  fc.record({ type: fc.constant('permit_refused' as const), participant, generation, reasons }),
  fc.record({
    type: fc.constant('site_reported' as const),
    participant,
    generation,
    run: fc.constantFrom('running', 'completed', 'failed', 'stopped'),
    exitCode: fc.integer({ min: 0, max: 255 }),
    reasons,
  }),
  fc.record({
    type: fc.constant('site_resumed' as const),
    participant,
    generation: fc.option(generation, { nil: undefined }),
  }),
  fc.record({ type: fc.constant('report_overdue' as const), participant, generation }),
  fc.record({
    type: fc.constant('framework_reported' as const),
    generation,
    run: fc.constantFrom('running', 'completed', 'failed'),
    reasons,
  }),
  fc.record({ type: fc.constant('stop_requested' as const), reasons }),
  fc.record({ type: fc.constant('permission_lost' as const), reasons }),
  fc.record({ type: fc.constant('permission_lost' as const), site: participant, reasons }),
  fc.record({ type: fc.constant('stop_applied' as const), participant, generation }),
  fc.record({ type: fc.constant('stop_failed' as const), participant, generation, reasons }),
  fc.record({ type: fc.constant('lease_ended' as const), participant }),
  fc.constant({ type: 'recovered' as const }),
);

/** What a step of a history does: any event, or the one that leads a job onwards, so that histories get far. */
const anyStep = fc.oneof(
  { weight: 2, arbitrary: anyEvent },
  { weight: 3, arbitrary: fc.constant('onwards' as const) },
);

/** A history of up to 60 steps, from the registration of a job at one to three sites. */
export const anyHistory = fc.record({
  participants: fc.subarray([...sites], { minLength: 1 }),
  steps: fc.array(anyStep, { maxLength: 60 }),
});

/** A job as registered. */
export function jobAt(participants: readonly string[]): JobState {
  const spec = { participants, byoc: false, name: '' };
  return newJob({ id: 'job-1', spec, submitter: 'spiffe://test/operator/alice', clonedFrom: '' });
}

/** The event that an undisturbed job sees next. */
function onwards(state: JobState): JobEvent | undefined {
  const { generation } = state;
  const named = Object.keys(state.sites);
  const next = (run: string): string | undefined => named.find((name) => siteOf(state, name).run === run);
  switch (state.phase) {
    case 'submitted':
    case 'blocked':
      return { type: 'admission_requested', reasons: [] };
    case 'checking': {
      const pending = named.find((name) => siteOf(state, name).check === 'pending');
      return pending === undefined
        ? { type: 'cleared', generation, permit: 'permit' }
        : { type: 'site_checked', participant: pending, generation, accepted: true, reasons: [] };
    }
    case 'admitted':
    case 'running': {
      const idle = next('permitted');
      const site = idle ?? next('running');
      const run = idle === undefined ? 'completed' : 'running';
      return site === undefined
        ? undefined
        : { type: 'site_reported', participant: site, generation, run, exitCode: 0, reasons: [] };
    }
    case 'stopping': {
      const site = next('stopping');
      return site === undefined ? undefined : { type: 'stop_applied', participant: site, generation };
    }
    default:
      return undefined;
  }
}

/** A decision with what led to it. */
export interface Step extends JobDecision {
  readonly before: JobState;
  readonly event: JobEvent;
}

/** Plays a history. */
export function play(
  decide: Decide,
  { participants, steps }: { participants: readonly string[]; steps: readonly (JobEvent | 'onwards')[] },
): Step[] {
  let before = jobAt(participants);
  return steps.flatMap((step) => {
    const event = step === 'onwards' ? onwards(before) : step;
    if (event === undefined) return [];
    const decision = decide(before, event);
    const played = { ...decision, before, event };
    before = decision.state;
    return [played];
  });
}

/** What is wrong with a history; empty when every invariant holds. */
export function violations(history: readonly Step[]): string[] {
  const found: string[] = [];
  const stops = new Set<string>();
  const yes = new Set<string>();
  const stoppedGenerations = new Set<number>();
  for (const { before, event, state, effects } of history) {
    if (event.type === 'site_checked' && event.accepted && before.phase === 'checking') {
      yes.add(`${event.participant}/${event.generation}`);
    }
    for (const effect of effects) {
      if (effect.type === 'permit_job') {
        const unasked = Object.keys(state.sites).filter((name) => !yes.has(`${name}/${effect.generation}`));
        if (unasked.length > 0) found.push(`permitted without the yes of ${unasked.join()}`);
        if (stoppedGenerations.has(effect.generation)) found.push('permitted after a stop');
      }
      if (effect.type === 'stop_job') {
        stoppedGenerations.add(effect.generation);
        const key = `${effect.participant}/${effect.generation}`;
        if (event.type !== 'site_resumed' && stops.has(key)) found.push(`${key} was told to stop twice`);
        stops.add(key);
      }
    }
    if (isTerminal(before) && state.phase !== before.phase) found.push(`${before.phase} was left`);
    if (before.phase === 'stopping' && !['stopping', 'stopped'].includes(state.phase)) {
      found.push(`stopping became ${state.phase}`);
    }
    if (before.phase !== 'stopped' && state.phase === 'stopped' && Object.values(state.sites).some(isLive)) {
      found.push('stopped while a site may run it');
    }
    const permitted = state.phase === 'admitted' || state.phase === 'running';
    if (permitted !== (state.permit !== '')) found.push(`${state.phase} with permit '${state.permit}'`);
    if (JSON.stringify(JSON.parse(JSON.stringify(state))) !== JSON.stringify(state)) {
      found.push('the state does not survive JSON');
    }
  }
  return found;
}

/** Every effect of a history, in order. */
export function effectsOf(history: readonly Step[]): JobEffect[] {
  return history.flatMap(({ effects }) => effects);
}
