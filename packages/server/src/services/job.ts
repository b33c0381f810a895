import { randomUUID } from 'node:crypto';
import { refusal } from '@muster/shared/errors.js';
import {
  JobState as State,
  type AdmitJobRequest,
  type AdmitJobResponse,
  type CloneJobRequest,
  type CloneJobResponse,
  type DryRunAdmitJobRequest,
  type DryRunAdmitJobResponse,
  type GetJobRequest,
  type GetJobResponse,
  type JobServiceServer,
  type JobSpec as SpecMessage,
  type ListJobsRequest,
  type ListJobsResponse,
  type ReportJobStateRequest,
  type ReportJobStateResponse,
  type StopJobRequest,
  type StopJobResponse,
  type SubmitJobRequest,
  type SubmitJobResponse,
  type WatchJobsRequest,
  type WatchJobsResponse,
} from '@muster/shared/gen/muster/v1/job.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { reason } from '@muster/shared/reasons.js';
import type { Admission } from '../admission/admission.js';
import { dryRunPrefix } from '../admission/dry-run.js';
import type { JobSpec } from '../admission/job-state.js';
import { serverStream, unary, type CallContext } from '../middleware/handlers.js';
import type { JobRecord } from '../store/jobs.js';
import { changeStream } from './change-stream.js';
import { jobMessage, phaseOf, siteMessages } from './job-messages.js';
import { invalid, requireCount, requireNames, requirePageSize, requireText } from './validation.js';

const idPattern = /^[A-Za-z0-9._-]{1,128}$/;
const maxNameLength = 256;

/** How many jobs are read at a time for a watch. */
const snapshotPage = 100;

const reportable = new Map<State, 'running' | 'completed' | 'failed'>([
  [State.RUNNING, 'running'],
  [State.COMPLETED, 'completed'],
  [State.FAILED, 'failed'],
]);

type Context = Pick<CallContext, 'caller' | 'signal'>;

/** The methods of JobService: validates requests, lets admission decide, and turns jobs into messages. */
export class JobHandlers {
  readonly #admission: Admission;

  constructor(admission: Admission) {
    this.#admission = admission;
  }

  async submitJob({ jobId, spec }: SubmitJobRequest, { caller }: Context): Promise<SubmitJobResponse> {
    const record = await this.#admission.submit({
      id: jobId === '' ? chosenId() : requireJobId(jobId, 'job_id'),
      spec: requireSpec(spec),
      submitter: caller.spiffeId,
    });
    return { job: jobMessage(record) };
  }

  async cloneJob({ jobId, newJobId }: CloneJobRequest, { caller }: Context): Promise<CloneJobResponse> {
    const id = newJobId === '' ? chosenId() : requireJobId(newJobId, 'new_job_id');
    const record = await this.#admission.clone(requireJobId(jobId, 'job_id'), {
      id,
      submitter: caller.spiffeId,
    });
    return { job: jobMessage(record) };
  }

  async admitJob({ jobId }: AdmitJobRequest, { caller, signal }: Context): Promise<AdmitJobResponse> {
    const record = await this.#admission.admit(requireJobId(jobId, 'job_id'), caller.spiffeId, signal);
    return { job: jobMessage(record) };
  }

  async dryRunAdmitJob(
    { jobId, spec }: DryRunAdmitJobRequest,
    { caller }: Context,
  ): Promise<DryRunAdmitJobResponse> {
    if ((jobId === '') === (spec === undefined)) throw invalid('job_id', 'expected either job_id or spec');
    const wanted =
      spec === undefined
        ? (await this.#admission.get(requireJobId(jobId, 'job_id'))).state.spec
        : requireSpec(spec);
    const { admitted, reasons, sites } = await this.#admission.dryRun(wanted, caller.spiffeId);
    return { admitted, reasons: reasons.map(toReasonMessage), sites: siteMessages(sites) };
  }

  async reportJobState(
    { jobId, generation, state, detail }: ReportJobStateRequest,
    { caller }: Context,
  ): Promise<ReportJobStateResponse> {
    const run = reportable.get(state);
    if (run === undefined) throw invalid('state', 'expected RUNNING, COMPLETED or FAILED');
    const message = requireText(detail, 'detail');
    const ended = reason('JOB_ENDED_BY_FRAMEWORK', message === '' ? {} : { message });
    const record = await this.#admission.report(
      requireJobId(jobId, 'job_id'),
      {
        generation: requireCount(generation, 'generation'),
        run,
        reasons: run === 'failed' ? [ended] : [],
      },
      caller.spiffeId,
    );
    return { job: jobMessage(record) };
  }

  async stopJob({ jobId, comment }: StopJobRequest, { caller }: Context): Promise<StopJobResponse> {
    const id = requireJobId(jobId, 'job_id');
    const reasons = [reason('JOB_STOPPED_BY_OPERATOR')];
    const text = requireText(comment, 'comment');
    return { job: jobMessage(await this.#admission.stop(id, reasons, caller.spiffeId, text)) };
  }

  async getJob({ jobId }: GetJobRequest): Promise<GetJobResponse> {
    return { job: jobMessage(await this.#admission.get(requireJobId(jobId, 'job_id'))) };
  }

  async listJobs({ state, pageSize, pageToken }: ListJobsRequest): Promise<ListJobsResponse> {
    const limit = requirePageSize(pageSize);
    const phase = phaseOf(state);
    if (phase === undefined && state !== State.UNSPECIFIED) throw invalid('state', 'there is no such state');
    const before = pageToken === '' ? undefined : positionOf(pageToken);
    const page = await this.#admission.list({
      limit: limit + 1,
      ...(phase !== undefined && { phase }),
      ...(before !== undefined && { before }),
    });
    const shown = page.slice(0, limit);
    const last = shown.at(-1);
    return {
      jobs: shown.map(jobMessage),
      nextPageToken: page.length > limit && last !== undefined ? String(last.position) : '',
    };
  }

  async *watchJobs(
    { jobId }: WatchJobsRequest,
    { signal }: Pick<Context, 'signal'>,
  ): AsyncGenerator<WatchJobsResponse> {
    const id = jobId === '' ? undefined : requireJobId(jobId, 'job_id');
    const records = changeStream<JobRecord>(
      {
        snapshot: () => this.#snapshot(id),
        subscribe: (listener) =>
          this.#admission.watch((record) => {
            if (id === undefined || record.state.id === id) listener(record);
          }),
        keyOf: ({ state }) => state.id,
      },
      signal,
    );
    for await (const record of records) yield { job: jobMessage(record) };
  }

  async *#snapshot(jobId: string | undefined): AsyncGenerator<JobRecord> {
    if (jobId !== undefined) {
      yield await this.#admission.get(jobId);
      return;
    }
    let page: readonly JobRecord[];
    let before: number | undefined;
    do {
      page = await this.#admission.list({ limit: snapshotPage, ...(before !== undefined && { before }) });
      yield* page;
      before = page.at(-1)?.position;
    } while (page.length === snapshotPage);
  }
}

/** JobService as grpc-js wants it. */
export function jobService(admission: Admission): JobServiceServer {
  const handlers = new JobHandlers(admission);
  return {
    submitJob: unary((request, context) => handlers.submitJob(request, context)),
    cloneJob: unary((request, context) => handlers.cloneJob(request, context)),
    admitJob: unary((request, context) => handlers.admitJob(request, context)),
    dryRunAdmitJob: unary((request, context) => handlers.dryRunAdmitJob(request, context)),
    reportJobState: unary((request, context) => handlers.reportJobState(request, context)),
    stopJob: unary((request, context) => handlers.stopJob(request, context)),
    getJob: unary((request) => handlers.getJob(request)),
    listJobs: unary((request) => handlers.listJobs(request)),
    watchJobs: serverStream((request, context) => handlers.watchJobs(request, context)),
  };
}

function chosenId(): string {
  return `job-${randomUUID()}`;
}

function requireJobId(id: string, path: string): string {
  if (!idPattern.test(id)) throw invalid(path, 'expected 1 to 128 characters of A-Z a-z 0-9 . _ -');
  if (id.startsWith(dryRunPrefix)) throw invalid(path, `ids that begin with ${dryRunPrefix} are reserved`);
  return id;
}

function requireSpec(spec: SpecMessage | undefined): JobSpec {
  if (spec === undefined) throw invalid('spec', 'a spec is needed');
  const { participants, byoc, name } = spec;
  if (participants.length === 0) throw refusal('JOB_NO_PARTICIPANTS', { path: 'spec.participants' });
  return {
    participants: requireNames(participants, 'spec.participants'),
    byoc,
    name: requireText(name, 'spec.name', maxNameLength),
  };
}

function positionOf(pageToken: string): number {
  if (/^\d{1,15}$/.test(pageToken)) return Number(pageToken);
  throw invalid('page_token', 'expected the next_page_token of an earlier page');
}
