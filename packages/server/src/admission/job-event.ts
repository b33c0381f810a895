import type { Reason } from '@muster/shared/reasons.js';
import type { JobState } from './job-state.js';

/** What a site says about the processes of a job. */
export type ReportedRun = 'running' | 'completed' | 'failed' | 'stopped';

/** What can happen to a job. Events that name a generation count only for that generation. */
export type JobEvent =
  /** The policy forbids the job, for good. */
  | { readonly type: 'barred'; readonly reasons: readonly Reason[] }
  /** Somebody asks for admission; `reasons` is what the server's own check found, empty when it found nothing. */
  | { readonly type: 'admission_requested'; readonly reasons: readonly Reason[] }
  /** A site judged the job. */
  | {
      readonly type: 'site_checked';
      readonly participant: string;
      readonly generation: number;
      readonly accepted: boolean;
      readonly reasons: readonly Reason[];
    }
  /** The time for the sites' answers is over. */
  | { readonly type: 'check_deadline'; readonly generation: number }
  /** Every site said yes, the server's check held a second time, and the permit is signed. */
  | { readonly type: 'cleared'; readonly generation: number; readonly permit: string }
  /** The server's second check, or the signing, failed. */
  | { readonly type: 'denied'; readonly generation: number; readonly reasons: readonly Reason[] }
  /** The time is over in which the permit of a generation can be used to start something. */
  | { readonly type: 'permit_expired'; readonly generation: number }
  /** A site could not take the permit. */
  | {
      readonly type: 'permit_refused';
      readonly participant: string;
      readonly generation: number;
      readonly reasons: readonly Reason[];
    }
  /** A site reports a change of the job's processes. */
  | {
      readonly type: 'site_reported';
      readonly participant: string;
      readonly generation: number;
      readonly run: ReportedRun;
      readonly exitCode: number;
      readonly reasons: readonly Reason[];
    }
  /** A site opened a session and says which generation runs there; undefined for none. */
  | {
      readonly type: 'site_resumed';
      readonly participant: string;
      readonly generation: number | undefined;
    }
  /** A site that said at its session's opening that nothing runs there has not explained how the job ended. */
  | { readonly type: 'report_overdue'; readonly participant: string; readonly generation: number }
  /** The framework that runs the job's processes itself reports. */
  | {
      readonly type: 'framework_reported';
      readonly generation: number;
      readonly run: 'running' | 'completed' | 'failed';
      readonly reasons: readonly Reason[];
    }
  /** An operator or framework ends the job, whatever its phase. */
  | { readonly type: 'stop_requested'; readonly reasons: readonly Reason[] }
  /** Permission is taken back: at one site, or at all sites when `site` is absent. */
  | { readonly type: 'permission_lost'; readonly site?: string; readonly reasons: readonly Reason[] }
  /** A site confirms that every generation up to this one has ended. */
  | { readonly type: 'stop_applied'; readonly participant: string; readonly generation: number }
  /** A site could not stop the job. */
  | {
      readonly type: 'stop_failed';
      readonly participant: string;
      readonly generation: number;
      readonly reasons: readonly Reason[];
    }
  /** The last lease of a site has certainly ended, so its agent has ended its jobs. */
  | { readonly type: 'lease_ended'; readonly participant: string }
  /** The server started and found the job in its store. */
  | { readonly type: 'recovered' };

/** What a decision asks the shell to do, in the order given. */
export type JobEffect =
  /** Ask the sites for their judgement, and call `check_deadline` when the time is over. */
  | { readonly type: 'check_job'; readonly participants: readonly string[]; readonly generation: number }
  | { readonly type: 'disarm_check_deadline' }
  /** Check standings again and sign; answer with `cleared` or `denied`. */
  | { readonly type: 'sign_permit'; readonly generation: number }
  | {
      readonly type: 'permit_job';
      readonly participant: string;
      readonly generation: number;
      readonly permit: string;
    }
  | {
      readonly type: 'stop_job';
      readonly participant: string;
      readonly generation: number;
      readonly reasons: readonly Reason[];
    }
  /** Call `permit_expired` once the permit has expired. */
  | { readonly type: 'expect_start'; readonly generation: number; readonly permit: string }
  /** Call `lease_ended` once the site's lease has certainly ended. */
  | { readonly type: 'watch_lease'; readonly participant: string }
  /** Call `report_overdue` after a while. */
  | { readonly type: 'expect_report'; readonly participant: string; readonly generation: number }
  /** A site's own check refused although the server's had accepted everybody. */
  | { readonly type: 'site_refused'; readonly participant: string; readonly reasons: readonly Reason[] }
  | {
      readonly type: 'audit';
      readonly action: 'job.admission' | 'job.stop' | 'job.end';
      readonly decision: 'allowed' | 'refused' | 'done';
      readonly reasons: readonly Reason[];
    };

/** A job's next state and what has to be done. The same state object means that nothing changed. */
export interface JobDecision {
  readonly state: JobState;
  readonly effects: readonly JobEffect[];
}

/** A decision that changes nothing. */
export function unchanged(state: JobState): JobDecision {
  return { state, effects: [] };
}
