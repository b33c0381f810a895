import type { Reason } from '@muster/shared/reasons.js';

/** Where a job stands; the names are those of `muster.v1.JobState`. */
export const jobPhases = [
  'submitted',
  'blocked',
  'checking',
  'admitted',
  'running',
  'stopping',
  'stopped',
  'completed',
  'failed',
] as const;
export type JobPhase = (typeof jobPhases)[number];

/** What a submitter asks for. */
export interface JobSpec {
  readonly participants: readonly string[];
  readonly byoc: boolean;
  readonly name: string;
}

/** A site's own judgement of the current generation. */
export type SiteCheck = 'none' | 'pending' | 'accepted' | 'refused';

/** What the job's processes at a site are doing, as far as it was seen. */
export type SiteRun = 'none' | 'permitted' | 'running' | 'stopping' | 'completed' | 'failed' | 'stopped';

/** A job as seen at one site. */
export interface SiteState {
  readonly check: SiteCheck;
  readonly run: SiteRun;
  /** Exit status, or 128 + signal number; meaningful for completed and failed. */
  readonly exitCode: number;
  /** Why the site refused, or why it was stopped. */
  readonly reasons: readonly Reason[];
  /** True when the end was inferred from the site's lease. */
  readonly endedByLease: boolean;
  /** The highest generation that a StopJob was sent for; 0 for none. */
  readonly stoppedThrough: number;
}

/** Everything that is known of a job. Plain data: it survives JSON unchanged. */
export interface JobState {
  readonly id: string;
  readonly spec: JobSpec;
  /** The SPIFFE id of the submitter. */
  readonly submitter: string;
  /** The id of the job that this is a copy of; empty for none. */
  readonly clonedFrom: string;
  readonly phase: JobPhase;
  /** Counts admissions; 0 before the first. */
  readonly generation: number;
  /** True when the job is blocked for good. */
  readonly barred: boolean;
  readonly reasons: readonly Reason[];
  readonly sites: { readonly [participant: string]: SiteState };
  /** The permit of the current generation; empty unless admitted or running. */
  readonly permit: string;
}

/** A job as it is registered. */
export function newJob(job: Pick<JobState, 'id' | 'spec' | 'submitter' | 'clonedFrom'>): JobState {
  return {
    ...job,
    phase: 'submitted',
    generation: 0,
    barred: false,
    reasons: [],
    sites: Object.fromEntries(job.spec.participants.map((participant) => [participant, untouchedSite])),
    permit: '',
  };
}

/** A site that knows nothing of the job. */
export const untouchedSite: SiteState = {
  check: 'none',
  run: 'none',
  exitCode: 0,
  reasons: [],
  endedByLease: false,
  stoppedThrough: 0,
};

/** Whether a job has ended for ever. */
export function isTerminal({ phase }: JobState): boolean {
  return phase === 'stopped' || phase === 'completed' || phase === 'failed';
}

/** Whether sites hold a permit of the current generation that was not taken back as a whole. */
export function isPermitted({ phase }: JobState): boolean {
  return phase === 'admitted' || phase === 'running';
}

/** Whether processes of the current generation may exist at a site. */
export function isLive({ run }: SiteState): boolean {
  return run === 'permitted' || run === 'running' || run === 'stopping';
}

/** The sites where processes of the current generation may exist. */
export function liveSites(state: JobState): string[] {
  return Object.keys(state.sites).filter((name) => isLive(siteOf(state, name)));
}

/** A site of the job, by name. */
export function siteOf(state: JobState, participant: string): SiteState {
  return (Object.hasOwn(state.sites, participant) && state.sites[participant]) || untouchedSite;
}

/** The state with one site changed. */
export function withSite(state: JobState, participant: string, change: Partial<SiteState>): JobState {
  return { ...state, sites: { ...state.sites, [participant]: { ...siteOf(state, participant), ...change } } };
}

/** How many reasons a job keeps, so that a flapping site cannot make it grow without end. */
const maxReasons = 1_000;

/** Adds reasons that are not there yet. */
export function addReasons(known: readonly Reason[], more: readonly Reason[]): readonly Reason[] {
  const identity = ({ code, participant, namespace }: Reason): string =>
    JSON.stringify([code, participant, namespace]);
  const seen = new Set(known.map(identity));
  const fresh = more.filter((reason) => {
    const id = identity(reason);
    return !seen.has(id) && seen.add(id);
  });
  return fresh.length === 0 ? known : [...known, ...fresh].slice(0, maxReasons);
}
