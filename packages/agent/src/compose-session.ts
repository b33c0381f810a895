import type { Clock } from '@muster/shared/clock.js';
import { jwksCache } from '@muster/shared/endorsements/jwks-cache.js';
import { offlineDirectory } from '@muster/shared/endorsements/offline-directory.js';
import { endorsementSource } from '@muster/shared/endorsements/resolve.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type { EvidenceVerifier } from '@muster/shared/evidence/appraisal.js';
import { verifiers } from '@muster/shared/evidence/verifiers.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import type { Logger } from '@muster/shared/logging/logger.js';
import { registryAudience } from '@muster/shared/tokens/attestation-token.js';
import type { TokenMaker } from './attestation/token-maker.js';
import type { AgentConfig } from './config/config.js';
import { CertificateKeeper } from './enrolment/certificate-keeper.js';
import type { Enrolment } from './enrolment/enroller.js';
import type { JobSupervisor } from './jobs/supervisor.js';
import { Agreements } from './peers/agreements.js';
import { createAppraiser } from './peers/appraiser.js';
import { JobChecker } from './peers/check-job.js';
import { judgeServer } from './peers/judge-server.js';
import { CommandHandler } from './session/apply-command.js';
import { openConnection } from './session/connection.js';
import { Session } from './session/session.js';
import type { SiteTrust } from './trust/site-trust.js';

/** What a session is composed of. */
export interface SessionComposition {
  readonly config: AgentConfig;
  readonly enrolment: Enrolment;
  readonly enrol: () => Promise<Enrolment>;
  readonly followTrust: SiteTrust['follow'];
  readonly tokens: TokenMaker;
  readonly jobs: Pick<
    JobSupervisor,
    'permit' | 'forfeit' | 'stop' | 'limitGrace' | 'stopAll' | 'jobs' | 'running' | 'onReport'
  >;
  /** Instead of every verifier of this release. */
  readonly verifiers?: readonly EvidenceVerifier[] | undefined;
  readonly clock: Clock;
  /** Random numbers in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
  readonly onShutdown: () => void;
  readonly onFailure: (error: MusterError) => void;
}

/** Puts together the session of an enrolled agent, with the certificate that it is opened with. */
export function composeSession(composition: SessionComposition): {
  readonly session: Session;
  readonly keeper: CertificateKeeper;
} {
  const { config, enrolment, tokens, jobs, clock, random, logger, onShutdown, onFailure } = composition;
  const { identity } = enrolment.credential;
  const { offline_directory, online } = config.endorsements;
  const appraise = createAppraiser({
    policy: config.policy,
    simulatedRoots: config.simulatedRoots,
    verifiers: composition.verifiers ?? verifiers,
    source: endorsementSource(offline_directory === undefined ? [] : [offlineDirectory(offline_directory)]),
    keys: online ? jwksCache({ clock }) : undefined,
    trustBundle: () => keeper.trustBundle,
    clock,
  });
  const keeper: CertificateKeeper = new CertificateKeeper({
    enrolment,
    address: config.server.session,
    enrol: composition.enrol,
    followTrust: composition.followTrust,
    onChange: () => session.handOver(),
    onFailure: (error) => onFailure(error instanceof MusterError ? error : refusal('INTERNAL', {}, error)),
    clock,
    random,
    logger,
  });
  const commands = new CommandHandler({
    jobs,
    checker: new JobChecker({ own: identity, appraise, clock }),
    agreements: new Agreements(),
    rotateCertificate: () => keeper.renew(),
    clock,
    logger,
  });
  const session: Session = new Session({
    clock,
    random,
    logger,
    jobs,
    namespaces: tokens.namespaces,
    connect: ({ onMessage, onClosed }) =>
      openConnection(config.server.session, keeper.channelCredentials(), {
        onMessage,
        onClosed: (error) => onClosed(keeper.explain(error)),
      }),
    judgeServer: (peer, welcome, nonce) => judgeServer(appraise, identity, peer, welcome, nonce),
    apply: (command, current) => commands.apply(command, current),
    reconcile: (desired, current) => commands.reconcile(desired, current),
    attest: async ({ id, nonce, namespaces }) => {
      const { privateKey, spki } = keeper.credential.key;
      const audience = registryAudience(identity.trustDomain);
      const subject = { identity, privateKey, publicKey: spki };
      const made = await tokens.make({ nonce, namespaces, audience }, subject);
      return { challengeId: id, tokens: made.tokens, failures: made.failures.map(toReasonMessage) };
    },
    enrol: () => keeper.enrolAgain(),
    trust: keeper,
    onShutdown,
    onFailure,
  });
  return { session, keeper };
}
