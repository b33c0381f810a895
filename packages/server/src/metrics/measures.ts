import { monitorEventLoopDelay } from 'node:perf_hooks';
import { vendors } from '@muster/shared/endorsements/paths.js';
import type { EndorsementCache } from '@muster/shared/endorsements/cache.js';
import { countUnfinished } from '../store/commands.js';
import { countJobs } from '../store/jobs.js';
import type { Store } from '../store/store.js';
import type { Registry } from '../ports.js';
import { jobPhases } from '../admission/job-state.js';
import type { Labels, Observations } from './observations.js';

/** One value of a metric. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** A metric, as docs/metrics.md lists it. */
export interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  /** The names of its labels. */
  readonly labels: readonly string[];
  read(): readonly Sample[] | Promise<readonly Sample[]>;
}

/** What is measured. */
export interface MeasuredServer {
  readonly observations: Observations;
  readonly cache: EndorsementCache | undefined;
  readonly registry: Pick<Registry, 'all' | 'standing'>;
  readonly store: Store;
}

/** How often the delay of the event loop is sampled, ms; the histogram counts it in. */
const eventLoopResolutionMs = 20;

/** Every metric of a server. */
export function serverMetrics({ observations, cache, registry, store }: MeasuredServer): readonly Metric[] {
  const delay = monitorEventLoopDelay({ resolution: eventLoopResolutionMs });
  delay.enable();
  return [
    {
      name: 'muster_endorsement_queries_total',
      type: 'counter',
      help: 'Questions to the endorsement cache, by vendor and how they were answered.',
      labels: ['vendor', 'outcome'],
      read: () => observations.endorsementQueries.all(),
    },
    {
      name: 'muster_endorsement_entries',
      type: 'gauge',
      help: 'Endorsements in the cache, by vendor.',
      labels: ['vendor'],
      read: () => byVendor(cache, ({ entries }) => entries),
    },
    {
      name: 'muster_endorsement_oldest_seconds',
      type: 'gauge',
      help: 'Age of the oldest endorsement in the cache, by vendor.',
      labels: ['vendor'],
      read: () => byVendor(cache, ({ oldestMs }) => oldestMs / 1000),
    },
    {
      name: 'muster_verdicts_total',
      type: 'counter',
      help: 'Appraisals of evidence, by namespace and outcome.',
      labels: ['namespace', 'outcome'],
      read: () => observations.verdicts.all(),
    },
    {
      name: 'muster_participants',
      type: 'gauge',
      help: 'Participants, by whether they may take part in jobs.',
      labels: ['standing'],
      read: () => standings(registry),
    },
    {
      name: 'muster_sessions',
      type: 'gauge',
      help: 'Open sessions of sites.',
      labels: [],
      read: () => one(registry.all().filter(({ role, connected }) => role === 'site' && connected).length),
    },
    {
      name: 'muster_jobs',
      type: 'gauge',
      help: 'Jobs, by state.',
      labels: ['state'],
      async read() {
        const counts = await store.transaction(countJobs);
        return jobPhases.map((state) => ({ labels: { state }, value: counts.get(state) ?? 0 }));
      },
    },
    {
      name: 'muster_commands_outstanding',
      type: 'gauge',
      help: 'Commands to sites that are not finished.',
      labels: [],
      read: async () => one(await store.transaction(countUnfinished)),
    },
    {
      name: 'muster_event_loop_delay_seconds',
      type: 'gauge',
      help: 'Delay of the event loop since the last scrape, by quantile.',
      labels: ['quantile'],
      read() {
        const quantiles = { '0.5': delay.percentile(50), '0.99': delay.percentile(99), '1': delay.max };
        delay.reset();
        return Object.entries(quantiles).map(([quantile, nanoseconds]) => ({
          labels: { quantile },
          value: Math.max(0, nanoseconds / 1e9 - eventLoopResolutionMs / 1e3),
        }));
      },
    },
  ];
}

function byVendor(
  cache: EndorsementCache | undefined,
  value: (statistics: ReturnType<EndorsementCache['statistics']>) => number,
): readonly Sample[] {
  if (cache === undefined) return [];
  return vendors.map((vendor) => ({ labels: { vendor }, value: value(cache.statistics(vendor)) }));
}

function standings(registry: MeasuredServer['registry']): readonly Sample[] {
  const counts = { admissible: 0, quarantined: 0, inadmissible: 0 };
  for (const { name, quarantine } of registry.all()) {
    const isAdmissible = registry.standing(name).admissible;
    counts[quarantine !== undefined ? 'quarantined' : isAdmissible ? 'admissible' : 'inadmissible'] += 1;
  }
  return Object.entries(counts).map(([standing, value]) => ({ labels: { standing }, value }));
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}
