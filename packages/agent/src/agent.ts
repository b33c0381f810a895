import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { createAttesters } from '@muster/attester/attesters.js';
import type { Clock } from '@muster/shared/clock.js';
import { refusal, type MusterError } from '@muster/shared/errors.js';
import type { Logger } from '@muster/shared/logging/logger.js';
import type { EvidenceVerifier } from '@muster/shared/evidence/appraisal.js';
import { reason, type Reason } from '@muster/shared/reasons.js';
import { TokenMaker, type TokenSource } from './attestation/token-maker.js';
import { composeSession } from './compose-session.js';
import type { AgentConfig } from './config/config.js';
import { Enroller } from './enrolment/enroller.js';
import { JoinSecrets } from './enrolment/join-secrets.js';
import { ownCgroup } from './jobs/cgroup.js';
import { serveLocalApi } from './jobs/local-api.js';
import { JobSupervisor } from './jobs/supervisor.js';
import { orAborted } from './or-aborted.js';
import type { Session } from './session/session.js';
import { siteStatus } from './status.js';
import { SiteTrust } from './trust/site-trust.js';
import { version } from './version.js';

/** What an agent takes from its surroundings. */
export interface AgentDependencies {
  readonly clock: Clock;
  /** Random numbers in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
  /** Ends the agent, also while it enrols. */
  readonly signal: AbortSignal;
  /** Instead of the attesters of the configuration. */
  readonly sources?: readonly TokenSource[];
  /** Instead of every verifier of this release. */
  readonly verifiers?: readonly EvidenceVerifier[];
}

/** An agent that has enrolled. */
export interface RunningAgent {
  readonly jobs: JobSupervisor;
  readonly session: Session;
  /** Resolves when the agent has ended in order; rejects with the cause when it had to end. Its jobs are stopped. */
  readonly finished: Promise<void>;
}

/** How long the server has to take the last messages, ms. */
const goodbyeMs = 3_000;

/**
 * Starts an agent: its devices are tried, the supervision of jobs is served, it enrols and opens its session.
 * Errors: ATTESTATION_GENERATION_FAILED, those of enrolment and of the local API, JOB_STOP_INCOMPLETE; the signal's
 * reason when aborted.
 */
export async function startAgent(
  config: AgentConfig,
  dependencies: AgentDependencies,
): Promise<RunningAgent> {
  const { clock, random, logger, signal } = dependencies;
  const tokens = new TokenMaker(dependencies.sources ?? configuredSources(config, clock), clock, logger);
  await orAborted(tokens.probe(), signal);
  const jobs = new JobSupervisor({
    instance: createHash('sha256').update(config.socket).digest('hex').slice(0, 16),
    cgroupParent: config.jobs.cgroup ?? ownCgroup(),
    graceMs: config.jobs.grace,
    clock,
  });
  let session: Session | undefined;
  let trustDomain = config.trust_domain ?? '';
  const localApi = await serveLocalApi({
    socketPath: config.socket,
    supervisor: jobs,
    status: () => siteStatus(config.name, trustDomain, session),
  });
  const trust = new SiteTrust({
    configured: config.trust,
    address: config.server.enrollment,
    trustDomain: config.trust_domain,
    file: join(config.state_directory, 'trust.json'),
  });
  const enroller = new Enroller({
    name: config.name,
    address: config.server.enrollment,
    secrets: new JoinSecrets(config.state_directory, config.join_token_file),
    tokens,
    trust,
    clock,
    random,
    logger,
  });
  const enrolment = await orAborted(enroller.enrol(signal), signal).catch((error: unknown) => {
    localApi.close();
    throw error;
  });
  ({ trustDomain } = enrolment.trust);

  const ending = new Ending();
  const composed = composeSession({
    config,
    enrolment,
    enrol: () => enroller.enrol(signal),
    followTrust: (...named) => trust.follow(...named),
    tokens,
    jobs,
    clock,
    random,
    logger,
    verifiers: dependencies.verifiers,
    onShutdown: () => ending.begin([reason('OPERATOR_SHUTDOWN')]),
    onFailure: (error) => ending.begin(error.reasons, error),
  });
  session = composed.session;
  const finish = async (): Promise<void> => {
    const { reasons, error } = await ending.begun;
    logger.info('agent.stopping', { reasons });
    composed.keeper.close();
    await jobs.stopAll(undefined, reasons);
    await composed.session.leave(goodbyeMs);
    localApi.close();
    if (error !== undefined) throw error;
    logger.info('agent.stopped');
  };
  const onSignal = (): void => ending.begin([reason('SHUTTING_DOWN', { message: 'The agent is ending.' })]);
  signal.addEventListener('abort', onSignal, { once: true });
  if (signal.aborted) onSignal();
  session.start();
  logger.info('agent.started', {
    participant: config.name,
    version,
    simulated: config.simulatedRoots.length > 0,
  });
  return { jobs, session, finished: finish() };
}

/** The end of an agent, which begins once, for the first of its causes. */
class Ending {
  readonly begun: Promise<{ readonly reasons: readonly [Reason, ...Reason[]]; readonly error?: MusterError }>;
  #begin: (cause: Awaited<Ending['begun']>) => void = () => undefined;

  constructor() {
    this.begun = new Promise((resolve) => (this.#begin = resolve));
  }

  begin(reasons: readonly [Reason, ...Reason[]], error?: MusterError): void {
    this.#begin({ reasons, ...(error !== undefined && { error }) });
  }
}

function configuredSources({ attesters }: AgentConfig, clock: Clock): TokenSource[] {
  return createAttesters(attesters, clock).map((attester, index) => {
    const config = attesters[index];
    if (config === undefined) throw refusal('INTERNAL');
    return { attester, lifetimeMs: config.token_lifetime };
  });
}
