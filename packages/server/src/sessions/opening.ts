import { randomUUID } from 'node:crypto';
import type { Clock } from '@muster/shared/clock.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import type { DesiredState, Hello, Welcome } from '@muster/shared/gen/muster/v1/agent.js';
import { ResumeMode } from '@muster/shared/gen/muster/v1/agent.js';
import type { ParticipantTokens } from '@muster/shared/gen/muster/v1/attestation.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { highestCommonVersion, protocolVersions } from '@muster/shared/protocol.js';
import type { SelfAttestation } from '../attestation/self-attestation.js';
import { commandWindow, type CommandQueue } from '../commands/command-queue.js';
import type { Caller } from '../middleware/caller.js';
import type { JobEvents, Signer } from '../ports.js';
import type { ParticipantRegistry } from '../registry/participant-registry.js';
import { toBase64 } from '../registry/rows.js';
import { afterCommit } from '../store/after-commit.js';
import { hasCommand } from '../store/commands.js';
import { selectParticipant, updateParticipant } from '../store/participants.js';
import { readSetting, writeSetting } from '../store/settings.js';
import type { Store, Transaction } from '../store/store.js';
import { participantTokens } from './participant-tokens.js';
import { decideResumption, type Resumption } from './resume.js';
import { toHex } from './trust-push.js';

/** What sessions are opened with. */
export interface OpeningOptions {
  readonly store: Store;
  readonly registry: ParticipantRegistry;
  readonly commands: CommandQueue;
  readonly jobs: Pick<JobEvents, 'permitsOf'>;
  readonly self: SelfAttestation;
  readonly signer: Signer;
  readonly leaseTtlMs: number;
  /** The longest grace that a site may give processes which it ends by itself, ms. */
  readonly graceLimitMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A session that the store knows, and what its agent is to be told first. */
export interface Opened {
  readonly epoch: number;
  readonly mode: Resumption['mode'];
  readonly welcome: Welcome;
  /** Present unless the agent is only sent what it missed. */
  readonly desiredState?: DesiredState;
}

/** Opens sessions: a new epoch in the store, and what the agent needs to go on. */
export class Opening {
  readonly #options: OpeningOptions;

  constructor(options: OpeningOptions) {
    this.#options = options;
  }

  /**
   * Opens a session. `onOpened` runs at the moment of the commit, before anything is delivered to the participant.
   * Errors: PARTICIPANT_REMOVED, CERTIFICATE_REVOKED when the certificate is for a key of an earlier enrolment,
   * RATE_LIMITED when too many agents ask the server's device at once, STORE_*.
   */
  async open(
    caller: Caller,
    hello: Hello,
    intervalMs: number,
    onOpened: (opened: Opened) => void,
  ): Promise<void> {
    const serverAttestation = await this.#attest(caller, hello);
    const { store, registry, commands, jobs, leaseTtlMs, graceLimitMs, signer, clock } = this.#options;
    const { name } = caller;
    await store.transaction(async (tx) => {
      const row = await selectParticipant(tx, name);
      if (row === undefined) throw refusal('PARTICIPANT_REMOVED', { participant: name });
      if (row.public_key !== toBase64(caller.publicKey))
        throw refusal('CERTIFICATE_REVOKED', { participant: name });
      const { lastCommandId } = hello;
      const knowsLatest = lastCommandId === '' || (await hasCommand(tx, name, lastCommandId));
      const remembered = { epoch: row.epoch, bootId: row.boot_id, lastSeq: row.last_seq, knowsLatest };
      const currentLog = await logId(tx);
      const { epoch, mode, renameLog } = decideResumption(hello, remembered, currentLog);
      const log = renameLog ? await newLogId(tx) : currentLog;
      const { bootId, agentVersion } = hello;
      await registry.openSession(tx, name, { epoch, bootId, agentVersion });
      const trustBundle = toHex(hello.trustBundleDigest);
      if (trustBundle !== row.trust_bundle) await updateParticipant(tx, name, { trust_bundle: trustBundle });
      await commands.attach(tx, name, epoch);
      const welcome: Welcome = {
        epoch: BigInt(epoch),
        logId: log,
        mode: ResumeMode[mode],
        heartbeatInterval: toDuration(intervalMs),
        leaseTtl: toDuration(leaseTtlMs),
        window: commandWindow,
        serverTime: clock.now(),
        serverAttestation,
        protocol: highestCommonVersion(hello, protocolVersions) ?? protocolVersions.max,
        jwks: signer.jwks,
        graceLimit: toDuration(graceLimitMs),
      };
      const throughSeq = BigInt(row.finished_seq);
      afterCommit(tx, () => {
        if (mode === 'REPLAY') return onOpened({ epoch, mode, welcome });
        const permits = jobs.permitsOf(name).map((job) => ({ ...job, generation: BigInt(job.generation) }));
        return onOpened({ epoch, mode, welcome, desiredState: { jobs: permits, throughSeq } });
      });
    });
  }

  /** The server's evidence for the agent's nonce. A device that fails leaves it out; the channel must stand all the same. */
  async #attest(caller: Caller, hello: Hello): Promise<ParticipantTokens | undefined> {
    const { self, registry, logger } = this.#options;
    try {
      const tokens = await self.answer(hello.nonce, caller.spiffeId);
      const held = registry.find(self.name)?.tokens ?? [];
      const fresh = self.namespaces.map((namespace, index) => ({ namespace, jws: tokens[index] ?? '' }));
      return { ...participantTokens(self.name, 'server', held), tokens: fresh };
    } catch (error) {
      if (error instanceof MusterError && error.code === 'RATE_LIMITED') throw error;
      logger.error('attestation.failed', { participant: self.name, ...errorFields(error) });
      return undefined;
    }
  }
}

async function logId(tx: Transaction): Promise<string> {
  return (await readSetting(tx, 'log_id')) ?? (await newLogId(tx));
}

async function newLogId(tx: Transaction): Promise<string> {
  const id = randomUUID();
  await writeSetting(tx, 'log_id', id);
  return id;
}
