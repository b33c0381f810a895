import type { Clock } from '@muster/shared/clock.js';
import { refusal } from '@muster/shared/errors.js';
import type { Participant, ParticipantState } from '@muster/shared/gen/muster/v1/participant.js';
import {
  CaRotationStage,
  type CaRotation,
  type GetKeysResponse,
  type GetStatusResponse,
  type ListAuditRecordsRequest,
  type ListAuditRecordsResponse,
  type ShutdownRequest,
  type ShutdownResponse,
  type SystemServiceServer,
  type VerifyNowRequest,
  type VerifyNowResponse,
} from '@muster/shared/gen/muster/v1/system.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import { reason } from '@muster/shared/reasons.js';
import { isPermitted } from '../admission/job-state.js';
import type { Admission } from '../admission/admission.js';
import type { CertificateAuthority } from '../ca/authority.js';
import { rotationProgress, type RotationProgress } from '../ca/rotation.js';
import { unary, type CallContext } from '../middleware/handlers.js';
import type { Attestation, RegisteredParticipant, Registry, Signer } from '../ports.js';
import { defaultDeadlineMs, type Shutdown } from '../shutdown/shutdown.js';
import { auditHead, listAuditRecords } from '../store/audit.js';
import type { Store } from '../store/store.js';
import { version } from '../version.js';
import { requireCount, requireDuration, requireNames, requirePageSize, requireText } from './validation.js';

/** What the system service works with. */
export interface SystemOptions {
  readonly store: Store;
  readonly registry: Registry;
  readonly admission: Admission;
  readonly attestation: Attestation;
  readonly shutdown: Shutdown;
  readonly signer: Signer;
  readonly serverName: string;
  readonly startedAt: Date;
  /** True when the configuration accepts simulated devices. */
  readonly simulated: boolean;
  /** SHA-256 of the policy in force, hex. */
  readonly policyDigest: string;
  readonly ca: Pick<CertificateAuthority, 'hash' | 'bundleDigest'>;
  readonly clock: Clock;
  /** How long VerifyNow waits for verdicts, ms. */
  readonly verifyTimeoutMs: number;
  /** A participant as ParticipantService shows it. */
  readonly participantMessage: (participant: RegisteredParticipant) => Participant;
}

const deadlineBounds = { min: 1_000, max: 600_000, preset: defaultDeadlineMs };

type Context = Pick<CallContext, 'caller' | 'signal'>;

/** The methods of SystemService. */
export class SystemHandlers {
  readonly #options: SystemOptions;

  constructor(options: SystemOptions) {
    this.#options = options;
  }

  async getStatus(): Promise<GetStatusResponse> {
    const { store, registry, admission, shutdown, signer, serverName, clock, ...facts } = this.#options;
    const { seq, rotation } = await store.transaction(async (tx) => ({
      ...(await auditHead(tx)),
      rotation: await rotationProgress(tx, facts.ca.bundleDigest, clock.now()),
    }));
    return {
      serverName,
      version,
      trustDomain: signer.trustDomain,
      startedAt: facts.startedAt,
      shuttingDown: shutdown.underWay,
      simulated: facts.simulated,
      serverExempt: registry.standing(serverName).exempt,
      participants: counts(registry.all().map((participant) => facts.participantMessage(participant).state)),
      activeJobs: admission.active().filter(({ state }) => isPermitted(state)).length,
      policyDigest: facts.policyDigest,
      residentBytes: BigInt(process.memoryUsage.rss()),
      auditSeq: BigInt(seq),
      caHash: facts.ca.hash,
      caRotation: rotationMessage(rotation),
    };
  }

  async shutdown({ deadline, comment }: ShutdownRequest, { caller }: Context): Promise<ShutdownResponse> {
    const sites = await this.#options.shutdown.run({
      actor: caller.spiffeId,
      reasons: [reason('OPERATOR_SHUTDOWN')],
      deadlineMs: requireDuration(deadline, 'deadline', deadlineBounds),
      comment: requireText(comment, 'comment'),
    });
    return { sites: sites.map((site) => ({ ...site, reasons: site.reasons.map(toReasonMessage) })) };
  }

  async verifyNow({ participants }: VerifyNowRequest): Promise<VerifyNowResponse> {
    const { registry, attestation, verifyTimeoutMs, participantMessage } = this.#options;
    requireNames(participants, 'participants').forEach((participant, index) => {
      if (registry.find(participant) !== undefined) return;
      throw refusal('PARTICIPANT_UNKNOWN', { participant, path: `participants[${index}]` });
    });
    const all = registry
      .all()
      .filter(({ role, enrolledAt }) => role === 'server' || enrolledAt !== undefined);
    const names = participants.length === 0 ? all.map(({ name }) => name) : participants;
    await attestation.verify(names, verifyTimeoutMs);
    const after = names.map((name) => registry.find(name)).filter((found) => found !== undefined);
    return { participants: after.map(participantMessage) };
  }

  async getKeys(): Promise<GetKeysResponse> {
    return { jwks: this.#options.signer.jwks };
  }

  async listAuditRecords({ fromSeq, pageSize }: ListAuditRecordsRequest): Promise<ListAuditRecordsResponse> {
    const from = requireCount(fromSeq, 'from_seq');
    const limit = requirePageSize(pageSize);
    const rows = await this.#options.store.transaction((tx) => listAuditRecords(tx, from, limit));
    return {
      records: rows.map(({ seq, content, hash, previous_hash }) => ({
        seq: BigInt(seq),
        content,
        hash,
        previousHash: previous_hash,
      })),
    };
  }
}

/** SystemService as grpc-js wants it. */
export function systemService(options: SystemOptions): SystemServiceServer {
  const handlers = new SystemHandlers(options);
  return {
    getStatus: unary(() => handlers.getStatus()),
    shutdown: unary((request, context) => handlers.shutdown(request, context)),
    verifyNow: unary((request) => handlers.verifyNow(request)),
    getKeys: unary(() => handlers.getKeys()),
    listAuditRecords: unary((request) => handlers.listAuditRecords(request)),
  };
}

function counts(states: readonly ParticipantState[]): { state: ParticipantState; count: number }[] {
  return [...new Set(states)]
    .toSorted((a, b) => a - b)
    .map((state) => ({ state, count: states.filter((other) => other === state).length }));
}

function rotationMessage({ stage, waiting }: RotationProgress): CaRotation | undefined {
  if (stage === 'steady') return undefined;
  return { stage: stage === 'prepared' ? CaRotationStage.PREPARED : CaRotationStage.PROMOTED, waiting };
}
