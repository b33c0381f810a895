import type { Clock } from '@muster/shared/clock.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import type { Admission } from '../admission/admission.js';
import type { Audit, CommandResult, Commands, Registry } from '../ports.js';
import type { Store } from '../store/store.js';

/** What a shutdown works with. */
export interface ShutdownOptions {
  readonly store: Store;
  readonly registry: Registry;
  readonly commands: Commands;
  readonly admission: Pick<Admission, 'close' | 'stopAll' | 'active' | 'watch'>;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between SIGTERM and SIGKILL of what still runs at a site, ms. */
  readonly stopGraceMs: number;
  /** When a participant's last lease has certainly ended, on the monotonic clock, ms. */
  readonly leaseEndsAt: (participant: string) => number;
  /** Ends the server's process in an orderly way: calls that are being answered are answered first. */
  readonly endServer: () => void;
}

/** One site's part in a shutdown. */
export interface SiteOutcome {
  readonly participant: string;
  readonly acknowledged: boolean;
  readonly reasons: readonly Reason[];
}

/** Who wants a shutdown, why, and how long sites may take, ms. */
export interface ShutdownRequest {
  readonly actor: string;
  readonly reasons: readonly Reason[];
  readonly deadlineMs?: number;
  readonly comment?: string;
}

/** How long sites may take when nobody says, ms. */
export const defaultDeadlineMs = 30_000;

/** Ends the system: all jobs, then all agents, then the server. docs/shutdown.md describes it. */
export class Shutdown {
  readonly #options: ShutdownOptions;
  readonly #outcomes = new Map<string, SiteOutcome>();
  #settle = (): void => undefined;
  #run: Promise<readonly SiteOutcome[]> | undefined;

  constructor(options: ShutdownOptions) {
    this.#options = options;
    options.commands.onResult((result) => this.#onResult(result));
  }

  /** True from the first request on: no session is opened and no job admitted. */
  get underWay(): boolean {
    return this.#run !== undefined;
  }

  /** Shuts down, once; a second request gets the answer of the first. Resolves before the server ends. Errors: STORE_*. */
  run(request: ShutdownRequest): Promise<readonly SiteOutcome[]> {
    this.#run ??= this.#shutDown(request).catch((error: unknown) => {
      // A shutdown that could not begin may be asked for again; jobs stay refused.
      this.#run = undefined;
      throw error;
    });
    return this.#run;
  }

  async #shutDown(request: ShutdownRequest): Promise<readonly SiteOutcome[]> {
    const { admission, clock, logger, endServer } = this.#options;
    const { actor, reasons, deadlineMs = defaultDeadlineMs } = request;
    const startedAt = clock.monotonic();
    admission.close();
    logger.warn('shutdown.started', { actor, reasons: reasons.map(({ code }) => code) });
    await this.#record('started', request, reasons);
    await admission.stopAll(reasons, actor);
    // Half of the time for the jobs; an agent ends what still runs before it ends itself.
    await this.#jobsEnded(startedAt + deadlineMs / 2);
    const sites = await this.#orderAgents(reasons);
    await this.#agentsEnded(sites, startedAt + deadlineMs);
    const outcomes = sites.map((participant) => this.#outcomeOf(participant));
    const missing = outcomes.flatMap((outcome) => outcome.reasons);
    await this.#record('completed', request, missing).catch((error: unknown) =>
      logger.error('shutdown.completed', errorFields(error)),
    );
    logger.warn('shutdown.completed', {
      acknowledged: outcomes.filter(({ acknowledged }) => acknowledged).length,
      missing: missing.map(({ participant }) => participant),
    });
    clock.schedule(0, endServer);
    return outcomes;
  }

  #jobsEnded(deadline: number): Promise<void> {
    const { admission } = this.#options;
    const ended = (): boolean => admission.active().length === 0;
    return this.#until(ended, deadline, (look) => admission.watch(look));
  }

  async #orderAgents(reasons: readonly Reason[]): Promise<readonly string[]> {
    const { store, registry, commands, stopGraceMs } = this.#options;
    const sites = registry
      .all()
      .filter(({ role, enrolledAt }) => role === 'site' && enrolledAt !== undefined)
      .map(({ name }) => name);
    const value = { grace: toDuration(stopGraceMs), reasons: reasons.map(toReasonMessage) };
    await store.transaction((tx) => commands.enqueue(tx, sites, { $case: 'shutdown', value }));
    commands.flush(sites);
    return sites;
  }

  /** Waits for the sites that can still answer: one that is not connected and whose lease has ended runs nothing. */
  #agentsEnded(sites: readonly string[], deadline: number): Promise<void> {
    const { registry, leaseEndsAt, clock } = this.#options;
    const over = (site: string): boolean =>
      this.#outcomes.has(site) ||
      (registry.find(site)?.connected !== true && leaseEndsAt(site) <= clock.monotonic());
    const allOver = (): boolean => sites.every(over);
    return this.#until(allOver, deadline, (look) => {
      this.#settle = look;
      return () => undefined;
    });
  }

  #outcomeOf(participant: string): SiteOutcome {
    const reasons = [reason('COMMAND_TIMEOUT', { participant })];
    return this.#outcomes.get(participant) ?? { participant, acknowledged: false, reasons };
  }

  async #onResult({ participant, action, outcome, reasons }: CommandResult): Promise<void> {
    if (action.$case !== 'shutdown' || outcome === 'RECEIVED' || this.#run === undefined) return;
    this.#outcomes.set(participant, { participant, acknowledged: outcome === 'APPLIED', reasons });
    this.#settle();
  }

  async #record(
    stage: 'started' | 'completed',
    { actor, comment }: ShutdownRequest,
    reasons: readonly Reason[],
  ): Promise<void> {
    const { store, audit } = this.#options;
    await store.transaction((tx) =>
      audit.append(tx, {
        actor,
        action: `system.shutdown.${stage}`,
        subject: 'system',
        decision: 'done',
        reasons,
        ...(comment !== undefined && { comment }),
      }),
    );
  }

  /** Resolves once a condition holds, looked at whenever `subscribe` calls back, or when the deadline has passed. */
  #until(holds: () => boolean, deadline: number, subscribe: (look: () => void) => () => void): Promise<void> {
    const { clock } = this.#options;
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = (): void => {
        timer.cancel();
        unsubscribe();
        resolve();
      };
      const timer = clock.schedule(Math.max(0, deadline - clock.monotonic()), finish);
      const unsubscribe = subscribe(() => {
        if (holds()) finish();
      });
    });
  }
}
