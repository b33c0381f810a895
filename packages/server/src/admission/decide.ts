import { decideAdmission } from './decide-admission.js';
import { decideSite } from './decide-site.js';
import { decideStop } from './decide-stop.js';
import type { JobDecision, JobEvent } from './job-event.js';
import type { JobState } from './job-state.js';

/**
 * The job state machine, pure. What holds for every history of events:
 * a permit exists only after every site said yes to the same generation; nothing is permitted after a stop of that
 * generation; a site is told to stop a generation once; a job is stopped only when no site can run it any more; a
 * terminal phase is never left.
 */
export function decide(state: JobState, event: JobEvent): JobDecision {
  switch (event.type) {
    case 'barred':
    case 'admission_requested':
    case 'site_checked':
    case 'check_deadline':
    case 'cleared':
    case 'denied':
      return decideAdmission(state, event);
    case 'site_reported':
    case 'site_resumed':
    case 'report_overdue':
    case 'stop_applied':
    case 'stop_failed':
    case 'lease_ended':
      return decideSite(state, event);
    case 'framework_reported':
    case 'permit_refused':
    case 'permit_expired':
    case 'stop_requested':
    case 'permission_lost':
    case 'recovered':
      return decideStop(state, event);
    default:
      return event satisfies never;
  }
}
