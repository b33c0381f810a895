import { describe, expect, it } from '@jest/globals';
import { decide } from '@muster/server/admission/decide.js';
import type { JobDecision, JobEffect, JobEvent } from '@muster/server/admission/job-event.js';
import type { JobState } from '@muster/server/admission/job-state.js';
import { reason } from '@muster/shared/reasons.js';
import { jobAt } from './job-histories.js';

const why = [reason('ATTESTATION_EXPIRED')];
const other = [reason('PARTICIPANT_SILENT')];

const requested: JobEvent = { type: 'admission_requested', reasons: [] };
const checked = (participant: string, accepted = true, generation = 1): JobEvent => ({
  type: 'site_checked',
  participant,
  generation,
  accepted,
  reasons: accepted ? [] : why,
});
const cleared: JobEvent = { type: 'cleared', generation: 1, permit: 'permit' };
const reported = (
  participant: string,
  run: 'running' | 'completed' | 'failed' | 'stopped' = 'running',
  generation = 1,
): JobEvent => ({ type: 'site_reported', participant, generation, run, exitCode: 0, reasons: [] });
const resumed = (participant: string, generation?: number): JobEvent => ({
  type: 'site_resumed',
  participant,
  generation,
});
const framework = (run: 'running' | 'completed' | 'failed', generation = 1): JobEvent => ({
  type: 'framework_reported',
  generation,
  run,
  reasons: why,
});
const lost = (site?: string, reasons = why): JobEvent => ({
  type: 'permission_lost',
  reasons,
  ...(site !== undefined && { site }),
});
const stopRequested: JobEvent = { type: 'stop_requested', reasons: why };
const applied = (participant: string, generation = 1): JobEvent => ({
  type: 'stop_applied',
  participant,
  generation,
});
const leaseEnded = (participant: string): JobEvent => ({ type: 'lease_ended', participant });

const toAdmission = [requested, checked('site-1'), checked('site-2'), cleared];
const toRunning = [...toAdmission, reported('site-1'), reported('site-2')];

/** A job at two sites after some events. */
function after(...events: readonly JobEvent[]): JobState {
  return events.reduce((state, event) => decide(state, event).state, jobAt(['site-1', 'site-2']));
}
const last = (events: readonly JobEvent[], event: JobEvent): JobDecision => decide(after(...events), event);
const types = ({ effects }: JobDecision): JobEffect['type'][] => effects.map(({ type }) => type);
const stopped = ({ effects }: JobDecision): string[] =>
  effects.flatMap((effect) => (effect.type === 'stop_job' ? [effect.participant] : []));
const codes = ({ reasons }: { readonly reasons: readonly { readonly code: string }[] }): string[] =>
  reasons.map(({ code }) => code);

describe('an event that says nothing about the job as it is', () => {
  it.each<[string, readonly JobEvent[], JobEvent]>([
    ['a second answer of a site', [requested, checked('site-1', false)], checked('site-1')],
    ['an answer to an older check', [requested], checked('site-1', true, 0)],
    ['the deadline of an older check', [requested], { type: 'check_deadline', generation: 0 }],
    [
      'the deadline when all have answered',
      [requested, checked('site-1'), checked('site-2')],
      { type: 'check_deadline', generation: 1 },
    ],
    ['a permit of another generation', toAdmission.slice(0, 3), { ...cleared, generation: 2 }],
    [
      'a permit of another generation that is refused',
      toRunning,
      { type: 'permit_refused', participant: 'site-1', generation: 0, reasons: why },
    ],
    [
      'a permit that is refused before it is given',
      [requested],
      { type: 'permit_refused', participant: 'site-1', generation: 1, reasons: why },
    ],
    ['the end of an older permit', toAdmission, { type: 'permit_expired', generation: 0 }],
    ['the end of a permit that all have used', toRunning, { type: 'permit_expired', generation: 1 }],
    [
      'the end of a permit after the job',
      [...toAdmission, framework('completed')],
      { type: 'permit_expired', generation: 1 },
    ],
    [
      'the end of a permit that the framework uses itself',
      [...toAdmission, framework('running')],
      { type: 'permit_expired', generation: 1 },
    ],
    ["a framework's word on another generation", toRunning, framework('completed', 2)],
    ["a framework's word before the permit", [requested], framework('completed')],
    ['the framework saying again that it runs', toRunning, framework('running')],
    ['a report of a stranger', toRunning, reported('site-9', 'failed')],
    ['a lease of a stranger', toRunning, leaseEnded('site-9')],
    ['a stranger who loses permission', toRunning, lost('site-9')],
    ['a stranger who loses permission during the check', [requested], lost('site-9')],
    ['a site that has refused, and loses permission', [requested, checked('site-1', false)], lost('site-1')],
    [
      'a site that loses permission twice, for the same reason',
      [...toRunning, lost('site-1')],
      lost('site-1'),
    ],
    ['a loss of permission before any check', [], lost()],
    ['a site that says again that it runs', toRunning, reported('site-1')],
    ['the end of another generation at a site', toRunning, reported('site-1', 'failed', 0)],
    ['a stop that nobody asked for', toRunning, applied('site-1')],
    ['a stop of an older generation', [...toRunning, lost('site-1')], applied('site-1', 0)],
    [
      'a stop that failed, and nobody asked for',
      toRunning,
      { type: 'stop_failed', participant: 'site-1', generation: 1, reasons: other },
    ],
    [
      'an older stop that failed',
      [...toRunning, lost('site-1')],
      { type: 'stop_failed', participant: 'site-1', generation: 0, reasons: other },
    ],
    [
      'a report that is overdue of an older generation',
      toRunning,
      { type: 'report_overdue', participant: 'site-1', generation: 0 },
    ],
    [
      'a report that is overdue of a site that is being stopped',
      [...toRunning, lost('site-1')],
      { type: 'report_overdue', participant: 'site-1', generation: 1 },
    ],
    ['a site where nothing runs yet', toAdmission, resumed('site-1')],
    ['a site that resumes what it is stopping', [...toRunning, lost('site-1')], resumed('site-1', 1)],
    [
      'the lease of a site that has ended',
      [...toRunning, reported('site-1', 'completed')],
      leaseEnded('site-1'),
    ],
    ['a stop after the end', [...toAdmission, framework('completed')], stopRequested],
    ['a stop that is asked for again', [...toRunning, stopRequested], stopRequested],
    ['a request after the job is barred', [{ type: 'barred', reasons: why }], requested],
    ['a request while it runs', toRunning, requested],
    ['a bar while it runs', toRunning, { type: 'barred', reasons: why }],
    ['a permit before all have said yes', [requested, checked('site-1')], cleared],
    ['an answer after the job was blocked', [requested, lost()], checked('site-1')],
    ['a stop after it has failed', [...toAdmission, framework('failed')], stopRequested],
    ['a stop after it was stopped', [stopRequested], stopRequested],
  ])('%s changes nothing', (_what, events, event) => {
    const before = after(...events);
    expect(decide(before, event)).toEqual({ state: before, effects: [] });
  });
});

describe('a job that is being checked', () => {
  it('is of no sites, and refused', () => {
    const { state } = decide(jobAt([]), requested);
    expect([state.phase, codes(state)]).toEqual(['blocked', ['JOB_NO_PARTICIPANTS']]);
  });

  it('is refused with the reasons of those that said no, once all have answered', () => {
    expect(types(last([requested], checked('site-1', false)))).toEqual(['site_refused']);
    const { state, effects } = last([requested, checked('site-1', false)], checked('site-2'));
    expect([state.phase, codes(state)]).toEqual(['blocked', ['JOB_CHECK_REFUSED', 'ATTESTATION_EXPIRED']]);
    expect(effects.map(({ type }) => type)).toEqual(['disarm_check_deadline', 'audit']);
  });

  it("is refused at once by the server's own check, and may be tried again", () => {
    const { state, effects } = last([], { type: 'admission_requested', reasons: why });
    expect([state.phase, codes(state)]).toEqual(['blocked', ['ATTESTATION_EXPIRED']]);
    expect(effects.map(({ type }) => type)).toEqual(['audit']);
    const again = last([requested, { type: 'denied', generation: 1, reasons: why }], requested);
    expect(again.state).toMatchObject({ phase: 'checking', generation: 2, reasons: [] });
    expect(again.effects).toEqual([{ type: 'check_job', participants: ['site-1', 'site-2'], generation: 2 }]);
  });

  it('is refused for the silence of a site when its time is over', () => {
    const { state } = last([requested, checked('site-1')], { type: 'check_deadline', generation: 1 });
    expect(state.phase).toBe('blocked');
    expect(state.reasons).toMatchObject([{ code: 'JOB_CHECK_TIMEOUT', participant: 'site-2' }]);
  });

  it('is admitted with the permit, which every site gets and whose use is watched', () => {
    const { state, effects } = last(toAdmission.slice(0, 3), cleared);
    expect(state).toMatchObject({ phase: 'admitted', permit: 'permit', reasons: [] });
    expect(effects).toEqual([
      { type: 'audit', action: 'job.admission', decision: 'allowed', reasons: [] },
      { type: 'expect_start', generation: 1, permit: 'permit' },
      ...['site-1', 'site-2'].flatMap((participant) => [
        { type: 'permit_job', participant, generation: 1, permit: 'permit' },
        { type: 'watch_lease', participant },
      ]),
    ]);
  });

  it('is signed when the last site says yes', () => {
    expect(last([requested, checked('site-1')], checked('site-2')).effects).toEqual([
      { type: 'disarm_check_deadline' },
      { type: 'sign_permit', generation: 1 },
    ]);
  });

  it.each<[string, JobEvent, string]>([
    ['is stopped', stopRequested, 'stopped'],
    ['has lost permission', lost(), 'blocked'],
    ['has lost a site', lost('site-1'), 'blocked'],
    ['was interrupted', { type: 'recovered' }, 'blocked'],
  ])('waits no more for answers when it %s', (_what, event, phase) => {
    const decision = last([requested], event);
    expect(decision.state.phase).toBe(phase);
    expect(types(decision)).toEqual(['disarm_check_deadline', 'audit']);
    expect(types(last([], stopRequested))).toEqual(['audit']);
  });
});

describe('permission that is taken back', () => {
  it('at one site leaves the others at work, and tells that site once', () => {
    const decision = last(toRunning, lost('site-1'));
    expect(types(decision)).toEqual(['audit', 'stop_job', 'watch_lease']);
    expect(stopped(decision)).toEqual(['site-1']);
    expect(decision.state.phase).toBe('running');
    expect(stopped(last([...toRunning, lost('site-1')], lost()))).toEqual(['site-2']);
  });

  it('at every site ends the job when the last has stopped', () => {
    expect(stopped(last(toRunning, lost()))).toEqual(['site-1', 'site-2']);
    const half = after(...toRunning, lost(), applied('site-1'));
    expect([half.phase, half.permit]).toEqual(['stopping', '']);
    const { state, effects } = decide(half, applied('site-2'));
    expect([state.phase, codes(state)]).toEqual(['stopped', ['ATTESTATION_EXPIRED']]);
    expect(effects).toEqual([{ type: 'audit', action: 'job.end', decision: 'done', reasons: state.reasons }]);
  });

  it('is accounted once for all sites', () => {
    expect(types(last(toRunning, stopRequested))).toEqual([
      'audit',
      'stop_job',
      'watch_lease',
      'stop_job',
      'watch_lease',
    ]);
  });

  it('keeps every cause, also the same one at another site', () => {
    const at = (participant: string): JobEvent =>
      lost(undefined, [reason('ATTESTATION_EXPIRED', { participant })]);
    expect(after(...toRunning, at('site-1'), at('site-2'), at('site-1')).reasons).toHaveLength(2);
    const { state } = last([...toRunning, stopRequested], lost(undefined, other));
    expect(codes(state)).toEqual(['ATTESTATION_EXPIRED', 'PARTICIPANT_SILENT']);
  });

  it('by a site that refuses its permit stops all', () => {
    const refused: JobEvent = { type: 'permit_refused', participant: 'site-1', generation: 1, reasons: why };
    expect(stopped(last(toAdmission, refused))).toEqual(['site-1', 'site-2']);
  });

  it('cannot be undone by a site whose stop failed, which says why', () => {
    const failed: JobEvent = { type: 'stop_failed', participant: 'site-1', generation: 1, reasons: other };
    const { state } = last([...toRunning, lost('site-1')], failed);
    expect(state.sites['site-1']).toMatchObject({ run: 'stopping' });
    expect(codes(state.sites['site-1'] ?? { reasons: [] })).toEqual([
      'ATTESTATION_EXPIRED',
      'PARTICIPANT_SILENT',
    ]);
    expect(decide(state, failed)).toEqual({ state, effects: [] });
  });

  it('ends a site by its lease, and tells it to stop all the same', () => {
    const decision = last(toRunning, leaseEnded('site-1'));
    expect(types(decision)).toEqual(['stop_job']);
    expect(decision.state.sites['site-1']).toMatchObject({ run: 'stopped', endedByLease: true });
  });

  it('from the sites that have not started in time', () => {
    const expired: JobEvent = { type: 'permit_expired', generation: 1 };
    const decision = last([...toAdmission, reported('site-1')], expired);
    expect(stopped(decision)).toEqual(['site-2']);
    expect(codes(decision.state.sites['site-2'] ?? { reasons: [] })).toEqual(['JOB_PERMIT_UNUSED']);
    expect(stopped(last(toAdmission, expired))).toEqual(['site-1', 'site-2']);
  });

  it('from all sites when the framework says that the job has ended', () => {
    const completed = last([...toAdmission, reported('site-1')], framework('completed'));
    expect(stopped(completed)).toEqual(['site-1', 'site-2']);
    expect(completed.effects.at(-1)).toMatchObject({ type: 'audit', action: 'job.end', decision: 'done' });
    expect(completed.state).toMatchObject({ phase: 'completed', reasons: [], permit: '' });
    expect(completed.state.sites).toMatchObject({
      'site-1': { run: 'stopping' },
      'site-2': { run: 'completed' },
    });
    expect(codes(last(toAdmission, framework('failed')).state)).toEqual(['ATTESTATION_EXPIRED']);
  });
});

describe('a site that runs what it may not', () => {
  it('is told to stop an older generation, and one without a permit', () => {
    const [older, unknown] = [last(toRunning, resumed('site-1', 0)), last([], resumed('site-1', 3))];
    expect(older.effects).toMatchObject([
      { type: 'stop_job', generation: 0, reasons: [{ code: 'JOB_SUPERSEDED' }] },
    ]);
    expect(older.state.sites['site-1']).toMatchObject({ run: 'running' });
    expect(unknown.effects).toMatchObject([
      { type: 'stop_job', generation: 3, reasons: [{ code: 'JOB_NOT_ADMITTED' }] },
    ]);
    expect(decide(unknown.state, requested).state.generation).toBe(4);
  });

  it('is told again only when its session opens anew', () => {
    const told = [reported('site-1', 'running', 3)];
    expect(stopped(last([], told[0] ?? requested))).toEqual(['site-1']);
    expect(stopped(last(told, reported('site-1', 'running', 3)))).toEqual([]);
    expect(stopped(last(told, resumed('site-1', 3)))).toEqual(['site-1']);
    expect(stopped(last([], reported('site-1', 'completed', 3)))).toEqual([]);
  });

  it('blocks a job that is being checked', () => {
    const decision = last([requested], resumed('site-1', 1));
    expect(decision.state.phase).toBe('blocked');
    expect(types(decision)).toEqual(['stop_job', 'disarm_check_deadline', 'audit']);
  });

  it('loses its own permit with a generation that comes after it', () => {
    const decision = last(toRunning, resumed('site-1', 2));
    expect(decision.state.sites['site-1']).toMatchObject({ run: 'stopping', stoppedThrough: 2 });
    expect(types(decision)).toEqual(['stop_job', 'watch_lease']);
  });
});

describe('a site that has nothing of a job that ran there', () => {
  it('must explain it, or has failed', () => {
    expect(last(toRunning, resumed('site-1')).effects).toEqual([
      { type: 'expect_report', participant: 'site-1', generation: 1 },
    ]);
    const overdue: JobEvent = { type: 'report_overdue', participant: 'site-1', generation: 1 };
    const { state } = last(toRunning, overdue);
    expect(state.sites['site-1']).toMatchObject({ run: 'failed' });
    expect(codes(state.sites['site-1'] ?? { reasons: [] })).toEqual(['JOB_SUPERVISION_LOST']);
  });
});

describe('a job whose sites have ended', () => {
  it.each<[string, readonly JobEvent[], string]>([
    ['completed', [reported('site-1', 'completed'), reported('site-2', 'completed')], 'completed'],
    ['failed at one', [reported('site-1', 'failed'), reported('site-2', 'completed')], 'failed'],
    ['stopped at one', [lost('site-1'), applied('site-1'), reported('site-2', 'completed')], 'completed'],
    [
      'stopped, however its processes ended',
      [lost(), reported('site-1', 'failed'), reported('site-2', 'completed')],
      'stopped',
    ],
    ['stopped at each', [lost('site-1'), applied('site-1'), lost('site-2'), applied('site-2')], 'stopped'],
  ])('as %s has ended so', (_what, events, phase) => {
    expect(after(...toRunning, ...events)).toMatchObject({ phase, permit: '' });
  });

  it('or are ending, by their own stops, is stopping', () => {
    const state = after(...toRunning, lost('site-1'), applied('site-1'), lost('site-2'));
    expect(state).toMatchObject({ phase: 'stopping', permit: '' });
  });
});

describe('a server that comes back', () => {
  it('watches the leases and the permit of what may run', () => {
    expect(last(toRunning, { type: 'recovered' }).effects).toEqual([
      { type: 'watch_lease', participant: 'site-1' },
      { type: 'watch_lease', participant: 'site-2' },
      { type: 'expect_start', generation: 1, permit: 'permit' },
    ]);
    expect(types(last([...toRunning, lost()], { type: 'recovered' }))).toEqual([
      'watch_lease',
      'watch_lease',
    ]);
  });
});
