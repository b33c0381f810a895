import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { LiveFederation, type LiveOptions, type SiteOptions } from '../../support/live/federation.js';
import { JobRun, type LiveSite } from '../../support/live/site.js';
import { inState, jobIs, type JobView } from '../../support/live/views.js';
import { callPollMs, eventually } from '../../support/live/wait.js';
import { commandViolations, epochViolations, logLines, repeatedOutcomes, startsOf } from './evidence.js';
import { Way } from './way.js';

/** The times of the suite, ms. `slackMs` is what a busy machine may take beside them. */
export const times = { heartbeatMs: 500, leaseMs: 3_000, graceMs: 1_000, slackMs: 5_000 } as const;

/** Within what time a site ends its jobs by itself once it hears nothing more, ms. */
export const leaseBoundMs = times.leaseMs + times.graceMs + times.slackMs;
/** Within what time a stop ends a job at a site that can be reached, ms. */
export const stopBoundMs = times.graceMs + times.slackMs;

/** A site with faulty ways to the server. */
export interface FaultSite {
  readonly name: string;
  readonly live: LiveSite;
  readonly session: Way;
  readonly enrollment: Way;
}

/** A job's processes at one site, which end only by SIGKILL and note how often they were started. */
export class StubbornRun extends JobRun {
  readonly #startsFile: string;

  constructor(site: LiveSite, jobId: string) {
    const file = (kind: string): string => join(site.folder, `${jobId}.${kind}`);
    const script =
      `trap '' TERM; echo $MUSTER_GENERATION >> ${file('starts')}; ` +
      `sleep 600 & echo $$ $! > ${file('pids')}; wait`;
    super(site.name, site.runCommand(jobId, script), file('pids'));
    this.#startsFile = file('starts');
  }

  /** How often the command was started. */
  get starts(): number {
    return startsOf(this.#startsFile).length;
  }

  /** Waits until no process is left, for longer than allowed so that a violation is measured; ms since `from`. */
  async goneSince(from: number, boundMs: number): Promise<number> {
    await this.gone(3 * boundMs + 30_000);
    return performance.now() - from;
  }
}

/** A job that runs. */
export interface RunningJob {
  readonly jobId: string;
  readonly runs: readonly StubbornRun[];
}

const maxAttempts = 3;
/** Within what time a proof is tried again, with its jitter and for a busy machine, ms. */
const provenAgainMs = 90_000;

/** A federation of real processes whose ways, processes and clocks a test disturbs. */
export class FaultFederation {
  readonly live: LiveFederation;
  readonly #ways: Way[] = [];
  #commandsSince = 0;

  /** Where the server keeps its data. */
  readonly dataDirectory: string;

  private constructor(live: LiveFederation, dataDirectory: string | undefined) {
    this.live = live;
    this.dataDirectory = dataDirectory ?? join(live.directory, 'server', 'data');
  }

  static async start(options: LiveOptions = {}): Promise<FaultFederation> {
    const { heartbeatMs, leaseMs } = times;
    const server = { limits: { calls_per_caller: 1_000, calls_per_address: 5_000 }, ...options.server };
    const live = await LiveFederation.start({
      heartbeat: `${heartbeatMs}ms`,
      lease: `${leaseMs}ms`,
      ...options,
      server,
    });
    return new FaultFederation(live, options.server?.['data_directory'] as string | undefined);
  }

  /** What all the server's processes have written. */
  get serverOutput(): string {
    const servers = this.live.started.filter(({ name }) => name === this.live.server.name);
    return servers.map((program) => program.output()).join('\n');
  }

  /** Counts commands anew, as a server does whose database was restored: their log has another name. */
  forgetCommands(): void {
    this.#commandsSince = this.serverOutput.length;
  }

  /** Makes a site, without waiting for its enrolment. */
  async addSite(name: string, options: SiteOptions = {}): Promise<FaultSite> {
    const { session: sessionPort, enrollment: enrollmentPort } = this.live.ports;
    const [session, enrollment] = await Promise.all([Way.to(sessionPort), Way.to(enrollmentPort)]);
    this.#ways.push(session, enrollment);
    const ports = { session: session.port, enrollment: enrollment.port };
    return { name, live: await this.live.addSite(name, { ports, ...options }), session, enrollment };
  }

  /** Gives a site another join token in the place of the one that it has used up. */
  async replaceJoinToken({ name, live }: FaultSite): Promise<void> {
    const file = join(live.folder, 'join-token');
    rmSync(file);
    const { code, err } = await this.live.muster('token', 'create', name, '--out', file);
    if (code !== 0) throw new Error(`no join token for ${name}: ${err}`);
  }

  /** Waits until participants are trusted: a proof that failed is asked for again within a minute and its jitter. */
  trusted(...names: readonly string[]): Promise<unknown> {
    return Promise.all(names.map((name) => inState(this.live, name, 'TRUSTED', provenAgainMs)));
  }

  /** How often the server, in all its processes, has committed an enrolment of a site. */
  enrolments(name: string): number {
    const lines = logLines(this.serverOutput);
    return lines.filter(({ event, participant }) => event === 'enrollment.completed' && participant === name)
      .length;
  }

  /** Waits until an enrolment of a site is committed, the first or a later one. */
  enrolled(name: string, count = 1): Promise<unknown> {
    return eventually(`the enrolment of ${name} to be committed`, () => this.enrolments(name) >= count);
  }

  /** Submits a job and waits until it is admitted; a site that has just come back may have to be asked again. */
  async admit(jobId: string, ...sites: readonly FaultSite[]): Promise<void> {
    const names = sites.map(({ name }) => name).join(',');
    await eventually(`${jobId} to be submitted`, async () => {
      return (await this.live.muster('job', 'submit', jobId, '--site', names)).code === 0;
    });
    const admitted = async (): Promise<boolean> => (await this.live.muster('job', 'admit', jobId)).code === 0;
    await eventually(`${jobId} to be admitted`, admitted, provenAgainMs, callPollMs);
  }

  /**
   * Admits a job and starts its commands. On a machine so busy that a lease ends meanwhile, which is no fault of theirs,
   * the next job is tried.
   */
  async run(name: string, ...sites: readonly FaultSite[]): Promise<RunningJob> {
    for (let attempt = 1; ; attempt += 1) {
      const jobId = `${name}-${attempt}`;
      await this.admit(jobId, ...sites);
      const runs = sites.map(({ live }) => new StubbornRun(live, jobId));
      try {
        await Promise.all(runs.map((run) => this.#running(run)));
        await jobIs(this.live, jobId, 'RUNNING');
        return { jobId, runs };
      } catch (error) {
        if (attempt === maxAttempts) throw error;
        await this.live.muster('job', 'stop', jobId);
        await Promise.all(runs.map((run) => run.program.ended));
        await this.trusted(...sites.map((site) => site.name));
      }
    }
  }

  async #running(run: StubbornRun): Promise<void> {
    const early = run.program.ended.then(({ code }) => {
      throw new Error(`${run.site}: the command's supervisor ended with ${code}: ${run.program.output()}`);
    });
    await Promise.race([run.running(), early]);
  }

  /** Waits until a job has ended at every site, and says how; a job that was permitted once is never stopped in silence. */
  ended(jobId: string): Promise<JobView['job']> {
    const look = async (): Promise<JobView['job'] | undefined> => {
      const { job } = await this.live.ask<JobView>('job', 'get', jobId);
      return /STOPPED|FAILED|COMPLETED/.test(job.state) ? job : undefined;
    };
    return eventually(`${jobId} to end`, look, 40_000, callPollMs);
  }

  /** Shows that the sites take part again: a new job is admitted and runs there. */
  async worksAgain(name: string, ...sites: readonly FaultSite[]): Promise<void> {
    await this.trusted(...sites.map((site) => site.name));
    const { jobId, runs } = await this.run(name, ...sites);
    await this.live.muster('job', 'stop', jobId);
    await Promise.all(runs.map((run) => run.gone()));
    await jobIs(this.live, jobId, 'STOPPED');
  }

  /** What does not hold in the store and the logs, once everything has come to rest. */
  async violations(): Promise<readonly string[]> {
    const found = (): string[] => commandViolations(this.dataDirectory);
    await eventually('every command to be finished', () => found().length === 0, 15_000, 250).catch(
      () => undefined,
    );
    const { code, err } = await this.live.muster('audit', 'verify');
    return [
      ...found(),
      ...epochViolations(this.serverOutput),
      ...repeatedOutcomes(this.serverOutput.slice(this.#commandsSince)),
      ...(code === 0 ? [] : [`the audit log does not verify: ${err}`]),
    ];
  }

  async close(): Promise<void> {
    await Promise.all(this.#ways.map((way) => way.close()));
    await this.live.close();
  }
}
