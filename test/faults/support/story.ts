import { performance } from 'node:perf_hooks';
import type { ParticipantView } from '../../support/live/views.js';
import { callPollMs, eventually } from '../../support/live/wait.js';
import type { FaultFederation, FaultSite, RunningJob, StubbornRun } from './fault-federation.js';
import type { FaultRecord } from './report.js';
import type { Direction } from './way.js';

/** What became of one fault. */
export type Outcome = Omit<FaultRecord, 'fault' | 'injected'>;

/** A federation that suffers one fault after the other, and works after each. */
export class Story {
  readonly federation: FaultFederation;
  readonly sites: readonly FaultSite[];
  #jobs = 0;

  constructor(federation: FaultFederation, sites: readonly FaultSite[]) {
    this.federation = federation;
    this.sites = sites;
  }

  /** A name that no job has yet. */
  nextJob(): string {
    return `job-${(this.#jobs += 1)}`;
  }

  /** A job that runs at every site. */
  run(): Promise<RunningJob> {
    return this.federation.run(this.nextJob(), ...this.sites);
  }

  /** Cuts every site's way in the directions given, or in both. */
  hold(...directions: readonly Direction[]): void {
    for (const { session } of this.sites) session.hold(...directions);
  }

  /** Ends the partition. What was under way is lost, as it is when a process at its end has died. */
  healBroken(): void {
    for (const { session } of this.sites) {
      session.break();
      session.heal();
    }
  }

  /** Kills the server and starts it again. */
  async restartServer(): Promise<void> {
    await this.federation.live.server.kill();
    await this.federation.live.startServer();
  }

  /** Asks for a job's end; when that was, on this process's clock. */
  async stop(jobId: string): Promise<number> {
    const from = performance.now();
    const { code, err } = await this.federation.live.muster('job', 'stop', jobId);
    if (code !== 0) throw new Error(`the stop of ${jobId} was not taken: ${err}`);
    return from;
  }

  /** Waits until every site has a session and is trusted. */
  connected(): Promise<unknown> {
    const look = async (name: string): Promise<boolean> => {
      const { participant } = await this.federation.live.ask<ParticipantView>('participant', 'get', name);
      return participant.connected === true && participant.state === 'PARTICIPANT_STATE_TRUSTED';
    };
    return Promise.all(
      this.sites.map(({ name }) => eventually(`${name} to reconnect`, () => look(name), 40_000, callPollMs)),
    );
  }

  /** How long after `from` the last process of the runs was gone, ms. */
  async gone(runs: readonly StubbornRun[], from: number, boundMs: number): Promise<number> {
    return Math.max(...(await Promise.all(runs.map((run) => run.goneSince(from, boundMs)))));
  }

  /** What became of a job that had to end, once the sites work again. */
  async judge({ jobId, runs }: RunningJob, boundMs: number, gone: Promise<number>): Promise<Outcome> {
    const stoppedAfterMs = await gone;
    const { state } = await this.federation.ended(jobId);
    await this.federation.worksAgain(this.nextJob(), ...this.sites);
    return {
      boundMs,
      stoppedAfterMs,
      violations: [
        ...late(stoppedAfterMs, boundMs),
        ...(state === 'JOB_STATE_COMPLETED' ? ['a job that was stopped counts as completed'] : []),
        ...runs.flatMap(({ starts, site }) => (starts === 1 ? [] : [`${site} started it ${starts} times`])),
        ...(await this.federation.violations()),
      ],
    };
  }
}

/** The violation of a bound, if it is one. */
export function late(stoppedAfterMs: number, boundMs: number): readonly string[] {
  return stoppedAfterMs > boundMs ? [`stopped after ${Math.round(stoppedAfterMs)} ms`] : [];
}
