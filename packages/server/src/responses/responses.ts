import type { Clock } from '@muster/shared/clock.js';
import { MusterError } from '@muster/shared/errors.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import type { FailureKind } from '@muster/shared/policy/responses.js';
import type { Policy } from '@muster/shared/policy/policy.js';
import type { Admission } from '../admission/admission.js';
import type { Audit, Failure, Failures, RegisteredParticipant, Registry } from '../ports.js';
import type { Shutdown } from '../shutdown/shutdown.js';
import type { Store } from '../store/store.js';
import { decideResponse, type Response } from './decide.js';

/** What responses work with. */
export interface ResponsesOptions {
  readonly store: Store;
  readonly registry: Registry;
  readonly admission: Pick<Admission, 'stopJobsOf' | 'onRefusal'>;
  readonly shutdown: Pick<Shutdown, 'run'>;
  readonly audit: Audit;
  readonly policy: Policy;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The server's SPIFFE id: it acts here by itself. */
  readonly actor: string;
  readonly serverName: string;
}

/** After how long a response that could not be carried out is tried again, ms. */
const retryMs = 5_000;

/** Carries out the graded response. What is in effect is remembered per participant until it has recovered. */
export class Responses implements Failures {
  readonly #inEffect = new Map<string, Set<FailureKind>>();
  readonly #barred = new Set<string>();
  readonly #options: ResponsesOptions;

  constructor(options: ResponsesOptions) {
    this.#options = options;
    const { registry, admission } = options;
    for (const { name, quarantine } of registry.all()) if (quarantine !== undefined) this.#barred.add(name);
    registry.watch((name, participant) => this.#followRecovery(name, participant));
    admission.onRefusal((failure) => void this.report(failure));
  }

  /** Answers a failure; never rejects. What cannot be carried out now is tried again until it can. */
  async report(failure: Failure): Promise<void> {
    const { policy, serverName, logger } = this.#options;
    const { kind, participant, reasons } = failure;
    const known = this.#inEffect.get(participant) ?? new Set();
    const responses = decideResponse(policy.responses, {
      kind,
      server: participant === serverName,
      inEffect: known.has(kind),
    });
    if (responses.length === 0) return;
    // A site's refusal of one job is an event, not a state: the next job's is another one.
    if (kind !== 'admission_refused') this.#inEffect.set(participant, known.add(kind));
    logger.warn('failure.answered', {
      kind,
      participant,
      reasons: reasons.map(({ code }) => code),
      actions: policy.responses[kind],
    });
    await Promise.all(responses.map((response) => this.#carryOutSurely(response, failure)));
  }

  async #carryOutSurely(response: Response, failure: Failure): Promise<void> {
    const { clock, logger } = this.#options;
    try {
      await this.#carryOut(response, failure);
    } catch (error) {
      // The participant was removed meanwhile, and its jobs with it.
      if (error instanceof MusterError && error.code === 'PARTICIPANT_UNKNOWN') return;
      logger.error('failure.answered', { action: response.type, ...errorFields(error) });
      clock.schedule(retryMs, () => void this.#carryOutSurely(response, failure));
    }
  }

  async #carryOut(response: Response, failure: Failure): Promise<void> {
    const { kind, participant, reasons } = failure;
    const { store, registry, admission, shutdown, audit, policy, actor, clock, logger } = this.#options;
    switch (response.type) {
      case 'record': {
        const comment = `${kind}: ${policy.responses[kind].join(', ')}`;
        const action = 'failure.answer';
        return store.transaction((tx) =>
          audit.append(tx, { actor, action, subject: participant, decision: 'done', reasons, comment }),
        );
      }
      case 'quarantine':
        return store.transaction(async (tx) => {
          if (!(await registry.quarantine(tx, participant, reasons))) return;
          const action = 'participant.quarantine';
          await audit.append(tx, { actor, action, subject: participant, decision: 'done', reasons });
        });
      case 'stop_own_part':
        return admission.stopJobsOf(participant, 'own_site', reasons, actor);
      case 'stop_jobs':
        return admission.stopJobsOf(participant, 'all_sites', reasons, actor);
      case 'shutdown_system':
        // It takes as long as the sites do; whoever reported the failure has other things to do meanwhile.
        shutdown.run({ reasons, actor }).catch((error: unknown) => {
          logger.error('shutdown.started', errorFields(error));
          clock.schedule(retryMs, () => void this.#carryOutSurely(response, failure));
        });
        return;
      default:
        response satisfies never;
    }
  }

  /** A failure has recovered when its cause is gone, and all of a participant's when an operator readmits or removes it. */
  #followRecovery(name: string, participant: RegisteredParticipant | undefined): void {
    const readmitted = this.#barred.has(name) && participant?.quarantine === undefined;
    if (participant?.quarantine !== undefined) this.#barred.add(name);
    else this.#barred.delete(name);
    if (participant === undefined || readmitted) {
      this.#inEffect.delete(name);
      return;
    }
    const kinds = this.#inEffect.get(name);
    if (kinds === undefined) return;
    if (!participant.silent) kinds.delete('silent');
    const proven = participant.lastReasons.length === 0 && this.#options.registry.standing(name).admissible;
    if (proven) this.#inEffect.delete(name);
  }
}
