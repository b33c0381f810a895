import { reason, type Reason } from '@muster/shared/reasons.js';

/** Permission to run a job's command once at this site. The session has verified it before it comes here. */
export interface Permit {
  readonly jobId: string;
  readonly generation: bigint;
  /** The JWT as the server signed it. */
  readonly permit: string;
  /** Nothing may be started under it from this time on. */
  readonly expiresAt: Date;
}

/** What became of a job's processes at this site; the state names are those of `muster.v1.SiteJobState`. */
export interface JobReport {
  readonly jobId: string;
  readonly generation: bigint;
  readonly state: 'RUNNING' | 'COMPLETED' | 'FAILED' | 'STOPPED';
  /** Exit status, or 128 + signal number, or `notStartedCode`; 0 unless COMPLETED or FAILED. */
  readonly exitCode: number;
  /** Why, when the command did not end by itself. */
  readonly reasons: readonly Reason[];
}

/** Exit status of a shell for a command that cannot be started. */
export const notStartedCode = 127;

type Outcome = Omit<JobReport, 'jobId' | 'generation'>;

/** One run of a job's command. */
export interface Run {
  readonly runId: string;
  readonly generation: bigint;
  readonly phase: 'starting' | 'running' | 'ending' | 'stuck';
  /** The command's process, once it was reported. */
  readonly pid?: number;
  /** What will be reported once no process is left. */
  readonly outcome?: Outcome;
}

/** What a site knows of one job. */
export interface JobRecord {
  readonly jobId: string;
  /** Nothing of this generation, or of an earlier one, may be started any more. */
  readonly floor: bigint;
  /** A permit above the floor that was not used yet. */
  readonly permit?: Permit;
  readonly run?: Run;
  /** Why the floor was raised last, if permission was taken back. */
  readonly reasons: readonly Reason[];
}

/** What can happen to a job at a site. */
export type JobEvent =
  | { readonly type: 'permitted'; readonly permit: Permit }
  /** The server counts on a generation that cannot be permitted here. */
  | { readonly type: 'forfeited'; readonly generation: bigint; readonly reasons: readonly Reason[] }
  | { readonly type: 'asked'; readonly runId: string; readonly now: Date }
  | { readonly type: 'started'; readonly runId: string; readonly pid: number }
  | {
      readonly type: 'exited';
      readonly runId: string;
      readonly exitCode: number;
      readonly reasons: readonly Reason[];
    }
  | { readonly type: 'lost'; readonly runId: string; readonly reasons: readonly Reason[] }
  | {
      readonly type: 'stop';
      readonly upTo: bigint;
      /** Between SIGTERM and SIGKILL; undefined for the site's own. */
      readonly graceMs: number | undefined;
      readonly reasons: readonly Reason[];
    }
  | { readonly type: 'retry'; readonly runId: string }
  | { readonly type: 'ended'; readonly runId: string; readonly complete: boolean };

/** What has to be done about it. */
export type JobEffect =
  | { readonly type: 'grant'; readonly permit: Permit }
  /** `final` is false when waiting may help. */
  | { readonly type: 'refuse'; readonly reasons: readonly [Reason, ...Reason[]]; readonly final: boolean }
  | {
      readonly type: 'end';
      readonly runId: string;
      /** Between SIGTERM and SIGKILL; undefined for the site's own. */
      readonly graceMs: number | undefined;
      readonly reasons: readonly Reason[];
    }
  | { readonly type: 'report'; readonly report: JobReport };

/** A job's next record, and what has to be done. */
export interface Decision {
  readonly record: JobRecord;
  readonly effects: readonly JobEffect[];
}

/** The record of a job that nothing is known of. */
export function emptyRecord(jobId: string): JobRecord {
  return { jobId, floor: 0n, reasons: [] };
}

/**
 * Decides one event of one job. A permit serves for one start. A run counts until none of its processes is left, and
 * is reported once, then. Events of a run that is not the job's current one change nothing.
 */
export function decide(record: JobRecord, event: JobEvent): Decision {
  switch (event.type) {
    case 'permitted':
      return permitted(record, event.permit);
    case 'forfeited':
      return forfeited(record, event.generation, event.reasons);
    case 'asked':
      return asked(record, event.runId, event.now);
    case 'stop':
      return stop(record, event);
    case 'started':
    case 'exited':
    case 'lost':
    case 'retry':
    case 'ended':
      return record.run?.runId === event.runId ? runEvent(record, record.run, event) : unchanged(record);
    default:
      return event satisfies never;
  }
}

function permitted(record: JobRecord, permit: Permit): Decision {
  const known = record.permit?.generation ?? record.floor;
  if (permit.generation <= known) return unchanged(record);
  const superseding = { ...record, permit };
  return endRun(superseding, undefined, [reason('JOB_SUPERSEDED')]);
}

function forfeited(record: JobRecord, generation: bigint, reasons: readonly Reason[]): Decision {
  const { permit, run, floor } = record;
  if (permit?.generation === generation || run?.generation === generation) return unchanged(record);
  const { jobId } = record;
  return {
    record: { ...record, floor: generation > floor ? generation : floor, reasons },
    effects: [
      {
        type: 'report',
        report: { jobId, generation, state: 'FAILED', exitCode: notStartedCode, reasons },
      },
    ],
  };
}

function asked(record: JobRecord, runId: string, now: Date): Decision {
  const { permit, run } = record;
  if (permit === undefined) {
    const message = run === undefined ? undefined : 'The job is running at this site already.';
    const first = message === undefined ? reason('JOB_NOT_ADMITTED') : reason('JOB_STATE', { message });
    return refuse(record, [first, ...record.reasons], run !== undefined);
  }
  if (permit.expiresAt.getTime() <= now.getTime()) {
    return refuse(record, [reason('JOB_NOT_ADMITTED', { message: 'The permit has expired.' })], false);
  }
  if (run !== undefined) {
    const message = 'Processes of an earlier generation are still being ended.';
    return refuse(record, [reason('JOB_STATE', { message })], false);
  }
  const { generation } = permit;
  const started: Run = { runId, generation, phase: 'starting' };
  return {
    record: { jobId: record.jobId, floor: generation, reasons: [], run: started },
    effects: [{ type: 'grant', permit }],
  };
}

function stop(record: JobRecord, event: Extract<JobEvent, { type: 'stop' }>): Decision {
  const { permit, ...rest } = record;
  const stopped: JobRecord = {
    ...rest,
    floor: event.upTo > record.floor ? event.upTo : record.floor,
    reasons: event.reasons,
    ...(permit !== undefined && permit.generation > event.upTo && { permit }),
  };
  const covered = record.run !== undefined && record.run.generation <= event.upTo;
  return covered ? endRun(stopped, event.graceMs, event.reasons) : unchanged(stopped);
}

/** Begins to end the current run, if there is one that is not being ended already. */
function endRun(record: JobRecord, graceMs: number | undefined, reasons: readonly Reason[]): Decision {
  const { run } = record;
  if (run === undefined || run.phase === 'ending') return unchanged(record);
  const outcome: Outcome = run.outcome ?? { state: 'STOPPED', exitCode: 0, reasons };
  return ending(record, { ...run, outcome }, graceMs, reasons);
}

function runEvent(
  record: JobRecord,
  run: Run,
  event: Extract<JobEvent, { type: 'started' | 'exited' | 'lost' | 'retry' | 'ended' }>,
): Decision {
  switch (event.type) {
    case 'started': {
      if (run.pid !== undefined) return unchanged(record);
      const phase = run.phase === 'starting' ? 'running' : run.phase;
      const reports = phase === 'running';
      return {
        record: { ...record, run: { ...run, phase, pid: event.pid } },
        effects: reports ? [report(record, run, { state: 'RUNNING', exitCode: 0, reasons: [] })] : [],
      };
    }
    case 'exited': {
      if (run.outcome !== undefined) return unchanged(record);
      const { exitCode, reasons } = event;
      const outcome: Outcome = { state: exitCode === 0 ? 'COMPLETED' : 'FAILED', exitCode, reasons };
      return ending(record, { ...run, outcome }, undefined, []);
    }
    case 'lost': {
      if (run.outcome !== undefined) return unchanged(record);
      const outcome: Outcome = { state: 'FAILED', exitCode: 128 + 9, reasons: event.reasons };
      return ending(record, { ...run, outcome }, undefined, event.reasons);
    }
    case 'retry':
      return run.phase === 'stuck' ? ending(record, run, 0, run.outcome?.reasons ?? []) : unchanged(record);
    case 'ended': {
      if (!event.complete) return unchanged({ ...record, run: { ...run, phase: 'stuck' } });
      const { run: _, ...rest } = record;
      return {
        record: rest,
        effects: run.outcome === undefined ? [] : [report(record, run, run.outcome)],
      };
    }
    default:
      return event satisfies never;
  }
}

function ending(
  record: JobRecord,
  run: Run,
  graceMs: number | undefined,
  reasons: readonly Reason[],
): Decision {
  return {
    record: { ...record, run: { ...run, phase: 'ending' } },
    effects: [{ type: 'end', runId: run.runId, graceMs, reasons }],
  };
}

function refuse(record: JobRecord, reasons: readonly [Reason, ...Reason[]], final: boolean): Decision {
  return { record, effects: [{ type: 'refuse', reasons, final }] };
}

function report(record: JobRecord, run: Run, outcome: Outcome): JobEffect {
  return {
    type: 'report',
    report: { jobId: record.jobId, generation: run.generation, ...outcome },
  };
}

function unchanged(record: JobRecord): Decision {
  return { record, effects: [] };
}
