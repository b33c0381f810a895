import { SiteJobState, siteJobStateToJSON } from '@muster/shared/gen/muster/v1/agent.js';
import {
  JobState,
  jobStateToJSON,
  SiteCheck,
  type Job,
  type SiteJob,
} from '@muster/shared/gen/muster/v1/job.js';
import { pairs, plain, reasonLines, table, time, type Styles } from './text.js';

/** A table of jobs. */
export function jobTable(jobs: readonly Job[], style: Styles): string {
  const rows = jobs.map((job) => [
    job.id,
    jobState(job.state, style),
    String(job.generation),
    (job.spec?.participants ?? []).join(' '),
    time(job.updatedAt),
    job.reasons.map(({ code }) => plain(code)).join(' '),
  ]);
  return table(['ID', 'STATE', 'GENERATION', 'PARTICIPANTS', 'CHANGED', 'REASONS'], rows, style);
}

/** Everything about one job. */
export function jobDetails(job: Job, style: Styles): string {
  return [
    pairs(
      [
        ['id', job.id],
        ['name', plain(job.spec?.name ?? '')],
        ['state', jobState(job.state, style)],
        ['generation', String(job.generation)],
        ['custom code', job.spec?.byoc === true ? 'yes' : ''],
        ['submitter', job.submitter],
        ['cloned from', job.clonedFrom],
        ['submitted', time(job.createdAt)],
        ['changed', time(job.updatedAt)],
      ],
      style,
    ),
    siteTable(job.sites, style),
    ...(job.reasons.length === 0 ? [] : [`\nreasons\n${reasonLines(job.reasons, style)}`]),
  ].join('');
}

/** What is known of a job at each site; empty when nothing is. */
export function siteTable(sites: readonly SiteJob[], style: Styles): string {
  if (sites.length === 0) return '';
  const rows = sites.map((site) => [
    site.participant,
    check(site.check, style),
    siteState(site, style),
    site.reasons.map(({ code }) => plain(code)).join(' '),
  ]);
  return `\n${table(['SITE', 'CHECK', 'PROCESSES', 'REASONS'], rows, style)}`;
}

/** One line for a job that has changed. */
export function jobLine(job: Job, style: Styles): string {
  const sites = job.sites.map((site) => `${site.participant} ${siteState(site, style)}`).join(', ');
  const codes = job.reasons.map(({ code }) => plain(code)).join(' ');
  return `${[job.id, jobState(job.state, style), sites, codes].filter(Boolean).join('  ')}\n`;
}

/** A job's state in a word. */
export function jobState(state: JobState, style: Styles): string {
  const word = jobStateToJSON(state).replace('JOB_STATE_', '').toLowerCase();
  switch (state) {
    case JobState.ADMITTED:
    case JobState.RUNNING:
    case JobState.COMPLETED:
      return style.good(word);
    case JobState.BLOCKED:
    case JobState.FAILED:
      return style.bad(word);
    case JobState.STOPPING:
    case JobState.STOPPED:
      return style.caution(word);
    default:
      return word;
  }
}

/** Whether a job has ended for good. */
export function hasEnded({ state }: Job): boolean {
  return state === JobState.STOPPED || state === JobState.COMPLETED || state === JobState.FAILED;
}

function siteState({ state, exitCode, endedByLease }: SiteJob, style: Styles): string {
  const word = siteJobStateToJSON(state).replace('SITE_JOB_STATE_', '').toLowerCase();
  const detail = endedByLease ? ' (by its lease)' : state === SiteJobState.FAILED ? ` (${exitCode})` : '';
  if (state === SiteJobState.UNSPECIFIED) return '';
  return state === SiteJobState.FAILED ? style.bad(word + detail) : word + detail;
}

function check(value: SiteCheck, style: Styles): string {
  switch (value) {
    case SiteCheck.ACCEPTED:
      return style.good('accepted');
    case SiteCheck.REFUSED:
      return style.bad('refused');
    case SiteCheck.PENDING:
      return 'pending';
    default:
      return '';
  }
}
