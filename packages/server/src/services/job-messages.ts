import { SiteJobState } from '@muster/shared/gen/muster/v1/agent.js';
import {
  JobState as State,
  SiteCheck as Check,
  type Job,
  type SiteJob,
} from '@muster/shared/gen/muster/v1/job.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import type { JobPhase, JobState, SiteCheck, SiteRun } from '../admission/job-state.js';
import type { JobRecord } from '../store/jobs.js';

const states: Readonly<Record<JobPhase, State>> = {
  submitted: State.SUBMITTED,
  blocked: State.BLOCKED,
  checking: State.CHECKING,
  admitted: State.ADMITTED,
  running: State.RUNNING,
  stopping: State.STOPPING,
  stopped: State.STOPPED,
  completed: State.COMPLETED,
  failed: State.FAILED,
};

const checks: Readonly<Record<SiteCheck, Check>> = {
  none: Check.UNSPECIFIED,
  pending: Check.PENDING,
  accepted: Check.ACCEPTED,
  refused: Check.REFUSED,
};

/** A site that was told to stop and has not confirmed counts as running. */
const runs: Readonly<Record<SiteRun, SiteJobState>> = {
  none: SiteJobState.PENDING,
  permitted: SiteJobState.PENDING,
  running: SiteJobState.RUNNING,
  stopping: SiteJobState.RUNNING,
  completed: SiteJobState.COMPLETED,
  failed: SiteJobState.FAILED,
  stopped: SiteJobState.STOPPED,
};

/** A job as a message. */
export function jobMessage({ state, createdAt, updatedAt }: JobRecord): Job {
  const { id, spec, phase, generation, reasons, sites, submitter, clonedFrom, permit } = state;
  return {
    id,
    spec,
    state: states[phase],
    generation: BigInt(generation),
    reasons: reasons.map(toReasonMessage),
    sites: siteMessages(sites),
    createdAt,
    updatedAt,
    submitter,
    clonedFrom,
    permit,
  };
}

/** The sites of a job as messages. */
export function siteMessages(sites: JobState['sites']): SiteJob[] {
  return Object.entries(sites).map(([participant, { check, run, exitCode, reasons, endedByLease }]) => ({
    participant,
    state: runs[run],
    exitCode,
    check: checks[check],
    reasons: reasons.map(toReasonMessage),
    endedByLease,
  }));
}

/** The phase that a state on the wire names; undefined for none, and for one that this release does not know. */
export function phaseOf(state: State): JobPhase | undefined {
  return (Object.keys(states) as JobPhase[]).find((phase) => states[phase] === state);
}
