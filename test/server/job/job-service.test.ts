import { describe, expect, it } from '@jest/globals';
import { JobHandlers } from '@muster/server/services/job.js';
import type { CallContext } from '@muster/server/middleware/handlers.js';
import { JobState, type Job, type WatchJobsResponse } from '@muster/shared/gen/muster/v1/job.js';
import {
  admit,
  federation,
  operator,
  running,
  submit,
  type Federation,
} from '../../support/job-federation.js';

const spec = { participants: ['site-1', 'site-2'], byoc: false, name: 'train' };

function context(signal = new AbortController().signal): Pick<CallContext, 'caller' | 'signal'> {
  return { caller: { spiffeId: operator } as CallContext['caller'], signal };
}

async function service(): Promise<{ parts: Federation; jobs: JobHandlers }> {
  const parts = await federation();
  return { parts, jobs: new JobHandlers(parts.admission) };
}

describe('SubmitJob', () => {
  it('registers a job, chooses an id where there is none, and repeats itself', async () => {
    const { jobs } = await service();
    const { job } = await jobs.submitJob({ jobId: '', spec }, context());
    expect(job).toMatchObject({ state: JobState.SUBMITTED, generation: 0n, submitter: operator, spec });
    expect(job?.id).toMatch(/^job-/);
    const again = await jobs.submitJob({ jobId: job?.id ?? '', spec }, context());
    expect(again.job).toEqual(job);
  });

  it.each([
    ['an id with a slash', { jobId: 'a/b', spec }, 'ARGUMENT_INVALID', 'job_id'],
    ['an id of 129 characters', { jobId: 'a'.repeat(129), spec }, 'ARGUMENT_INVALID', 'job_id'],
    ['an id of a dry run', { jobId: 'dry-run.1', spec }, 'ARGUMENT_INVALID', 'job_id'],
    ['no spec', { jobId: '', spec: undefined }, 'ARGUMENT_INVALID', 'spec'],
    [
      'no participants',
      { jobId: '', spec: { ...spec, participants: [] } },
      'JOB_NO_PARTICIPANTS',
      'spec.participants',
    ],
    [
      'a participant twice',
      { jobId: '', spec: { ...spec, participants: ['site-1', 'site-1'] } },
      'ARGUMENT_INVALID',
      'spec.participants[1]',
    ],
    [
      'a name that is none',
      { jobId: '', spec: { ...spec, participants: ['site-1', 'Site 2'] } },
      'PARTICIPANT_NAME_INVALID',
      'spec.participants[1]',
    ],
    [
      '1,001 participants',
      {
        jobId: '',
        spec: { ...spec, participants: Array.from({ length: 1_001 }, (_, index) => `s-${index}`) },
      },
      'ARGUMENT_INVALID',
      'spec.participants',
    ],
    [
      'a long label',
      { jobId: '', spec: { ...spec, name: 'x'.repeat(257) } },
      'ARGUMENT_INVALID',
      'spec.name',
    ],
  ])('refuses %s', async (_what, request, code, path) => {
    const { jobs } = await service();
    await expect(jobs.submitJob(request, context())).rejects.toMatchObject({ code, reasons: [{ path }] });
  });
});

describe('the other methods', () => {
  it('clone, admit, report, stop and get', async () => {
    const { parts, jobs } = await service();
    await jobs.submitJob({ jobId: 'job-1', spec }, context());
    const clone = await jobs.cloneJob({ jobId: 'job-1', newJobId: 'job-2' }, context());
    expect(clone.job).toMatchObject({ id: 'job-2', clonedFrom: 'job-1', spec });
    await admit(parts, 'job-2');
    const { job: admitted } = await jobs.admitJob({ jobId: 'job-2' }, context());
    expect(admitted).toMatchObject({ state: JobState.ADMITTED, generation: 1n });
    expect(admitted?.permit).not.toBe('');
    const report = { jobId: 'job-2', generation: 1n, state: JobState.RUNNING, detail: '' };
    expect((await jobs.reportJobState(report, context())).job?.state).toBe(JobState.RUNNING);
    const { job: stopping } = await jobs.stopJob({ jobId: 'job-2', comment: 'enough' }, context());
    expect(stopping).toMatchObject({
      state: JobState.STOPPING,
      permit: '',
      reasons: [{ code: 'JOB_STOPPED_BY_OPERATOR' }],
    });
    expect((await jobs.getJob({ jobId: 'job-2' })).job).toEqual(stopping);
  });

  it('reports a failure with the words of the framework', async () => {
    const { parts, jobs } = await service();
    await running(parts, 'job-1', ['site-1']);
    const report = { jobId: 'job-1', generation: 1n, state: JobState.FAILED, detail: 'The model diverged.' };
    const { job } = await jobs.reportJobState(report, context());
    expect(job).toMatchObject({ state: JobState.FAILED, reasons: [{ message: 'The model diverged.' }] });
  });

  it('refuse what they do not know', async () => {
    const { parts, jobs } = await service();
    await submit(parts, 'job-1', ['site-1']);
    const report = { jobId: 'job-1', generation: 1n, detail: '' };
    await expect(
      jobs.reportJobState({ ...report, state: JobState.STOPPED }, context()),
    ).rejects.toMatchObject({ code: 'ARGUMENT_INVALID', reasons: [{ path: 'state' }] });
    await expect(
      jobs.reportJobState({ ...report, state: JobState.RUNNING, generation: 2n ** 60n }, context()),
    ).rejects.toMatchObject({ reasons: [{ path: 'generation' }] });
    await expect(
      jobs.reportJobState({ ...report, state: JobState.RUNNING }, context()),
    ).rejects.toMatchObject({ code: 'JOB_STATE' });
    await expect(jobs.getJob({ jobId: 'ghost' })).rejects.toMatchObject({ code: 'JOB_UNKNOWN' });
    await expect(
      jobs.stopJob({ jobId: 'job-1', comment: 'x'.repeat(1_025) }, context()),
    ).rejects.toMatchObject({
      reasons: [{ path: 'comment' }],
    });
    await expect(jobs.dryRunAdmitJob({ jobId: 'job-1', spec }, context())).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
    });
    await expect(jobs.dryRunAdmitJob({ jobId: '', spec: undefined }, context())).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
    });
  });

  it('answer a dry run of a job and of a spec', async () => {
    const { parts, jobs } = await service();
    await submit(parts, 'job-1', ['nobody']);
    const registered = await jobs.dryRunAdmitJob({ jobId: 'job-1', spec: undefined }, context());
    const given = await jobs.dryRunAdmitJob({ jobId: '', spec: { ...spec, byoc: true } }, context());
    expect(registered.reasons.map(({ code }) => code)).toContain('PARTICIPANT_UNKNOWN');
    expect(given.reasons.map(({ code }) => code)).toEqual(['JOB_BYOC']);
  });
});

describe('ListJobs', () => {
  it('pages newest first, and stays stable while jobs are added', async () => {
    const { parts, jobs } = await service();
    for (const id of ['a', 'b', 'c']) await submit(parts, id, ['site-1']);
    const first = await jobs.listJobs({ state: JobState.UNSPECIFIED, pageSize: 2, pageToken: '' });
    expect(first.jobs.map(({ id }) => id)).toEqual(['c', 'b']);
    await submit(parts, 'd', ['site-1']);
    const second = await jobs.listJobs({
      state: JobState.UNSPECIFIED,
      pageSize: 2,
      pageToken: first.nextPageToken,
    });
    expect([second.jobs.map(({ id }) => id), second.nextPageToken]).toEqual([['a'], '']);
  });

  it('filters by state and refuses what is out of range', async () => {
    const { parts, jobs } = await service();
    await submit(parts, 'a', ['site-1']);
    await submit(parts, 'b', ['site-1'], true);
    const list = (state: number, pageSize = 0, pageToken = ''): Promise<unknown> =>
      jobs.listJobs({ state: state as JobState, pageSize, pageToken });
    expect(await list(JobState.BLOCKED)).toMatchObject({ jobs: [{ id: 'b' }], nextPageToken: '' });
    await expect(list(42)).rejects.toMatchObject({ reasons: [{ path: 'state' }] });
    await expect(list(0, 1_001)).rejects.toMatchObject({ reasons: [{ path: 'page_size' }] });
    await expect(list(0, 1, 'x')).rejects.toMatchObject({ reasons: [{ path: 'page_token' }] });
  });
});

describe('WatchJobs', () => {
  async function next(stream: AsyncIterator<WatchJobsResponse>): Promise<Job | undefined> {
    const { value } = (await stream.next()) as IteratorResult<WatchJobsResponse, undefined>;
    return value?.job;
  }

  it('sends the jobs as they are, then every change, until the caller is gone', async () => {
    const { parts, jobs } = await service();
    await submit(parts, 'job-1', ['site-1']);
    const caller = new AbortController();
    const stream = jobs.watchJobs({ jobId: '' }, { signal: caller.signal });
    expect(await next(stream)).toMatchObject({ id: 'job-1', state: JobState.SUBMITTED });
    await running(parts, 'job-2', ['site-1']);
    const states = [];
    for (let count = 0; count < 5; count += 1) states.push((await next(stream))?.state);
    const { SUBMITTED, CHECKING, ADMITTED, RUNNING } = JobState;
    expect(states).toEqual([SUBMITTED, CHECKING, CHECKING, ADMITTED, RUNNING]);
    const pending = stream.next();
    caller.abort();
    expect(await pending).toEqual({ done: true, value: undefined });
  });

  it('sends one job only where one is named, which must exist', async () => {
    const { parts, jobs } = await service();
    await submit(parts, 'job-1', ['site-1']);
    const stream = jobs.watchJobs({ jobId: 'job-1' }, context());
    await next(stream);
    await submit(parts, 'job-2', ['site-1']);
    await parts.admission.stop('job-1', [], operator);
    expect(await next(stream)).toMatchObject({ id: 'job-1', state: JobState.STOPPED });
    await stream.return(undefined);
    await expect(jobs.watchJobs({ jobId: 'ghost' }, context()).next()).rejects.toMatchObject({
      code: 'JOB_UNKNOWN',
    });
  });
});
