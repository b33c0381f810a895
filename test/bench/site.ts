import { createHash } from 'node:crypto';
import { backoffMs } from '@muster/agent/backoff.js';
import {
  CommandOutcome,
  SessionRequest,
  SessionResponse,
  VerdictOutcome,
  type Command,
} from '@muster/shared/gen/muster/v1/agent.js';
import type { Challenge } from '@muster/shared/gen/muster/v1/attestation.js';
import type { Evidence } from '@muster/shared/evidence/appraisal.js';
import { registryAudience, signAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { reportData } from '@muster/shared/tokens/binding.js';
import type { SimulatedChip } from '../devices/snp/chip.js';
import { readState } from '../devices/snp/state.js';
import { fakeEvidence } from '../support/fake-verifier.js';
import { trustDomain, type Member } from './federation.js';
import { FramedStream } from './framed-stream.js';

/** Makes evidence for 64 bytes of report data. */
export type Collect = (reportData: Uint8Array) => Evidence;

/** Evidence that costs nothing to make or to verify. */
export const collectNothing: Collect = (data) => fakeEvidence('x-a', data);

/** Evidence of a simulated chip, by the file of its state. */
export function collectSnp(chip: SimulatedChip, stateFile: string): Collect {
  const state = readState(stateFile);
  return (data) => {
    const { report, table } = chip.answer(state, data);
    return { namespace: 'x-snp', evidence: report, auxiliary: table };
  };
}

const path = '/muster.v1.AgentService/Session';

/** An agent of one site as the server sees it: the real protocol over real mTLS, without jobs of its own. */
export class SimulatedSite {
  readonly member: Member;
  /** When the last stop arrived, ms; 0 for none. */
  stoppedAt = 0;
  /** How often evidence was accepted. */
  accepted = 0;
  readonly #port: number;
  readonly #collect: Collect;
  readonly #bootId: string;
  #stream: FramedStream | undefined;
  #epoch = 0n;
  #heartbeats = 0n;
  #failures = 0;
  #acknowledged: (() => void) | undefined;
  #closed = false;
  #onOpen: () => void = () => undefined;
  #onProven: () => void = () => undefined;

  constructor(member: Member, port: number, collect: Collect) {
    this.member = member;
    this.#port = port;
    this.#collect = collect;
    this.#bootId = createHash('sha256').update(member.name).digest('hex').slice(0, 32);
  }

  /** Opens a session, again after every failure with the delays of a real agent. Resolves when it is welcomed. */
  open(): Promise<void> {
    return new Promise((resolve) => {
      this.#onOpen = resolve;
      this.#connect();
    });
  }

  /** Resolves when the session is open again that has ended, or will. */
  reopened(): Promise<void> {
    return new Promise((resolve) => {
      this.#onOpen = resolve;
    });
  }

  /** Resolves when the server has accepted evidence for the first time. */
  proven(): Promise<void> {
    if (this.accepted > 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onProven = resolve;
    });
  }

  /** Sends a heartbeat; resolves when it is acknowledged. */
  beat(): Promise<void> {
    return new Promise((resolve) => {
      this.#acknowledged = resolve;
      this.#heartbeats += 1n;
      const jobsDigest = Buffer.alloc(32);
      this.#send({ $case: 'heartbeat', value: { seq: this.#heartbeats, ackedThrough: 0n, jobsDigest } });
    });
  }

  close(): void {
    this.#closed = true;
    this.#stream?.close();
  }

  #connect(): void {
    this.#heartbeats = 0n;
    this.#stream = new FramedStream(this.#port, this.member.tls, {
      path,
      onMessage: (message) => this.#receive(message),
      onClose: () => {
        if (this.#closed) return;
        setTimeout(() => this.#connect(), backoffMs(this.#failures, Math.random()));
        this.#failures += 1;
      },
    });
    this.#send({
      $case: 'hello',
      value: {
        protocolMin: 1,
        protocolMax: 1,
        bootId: this.#bootId,
        lastEpoch: this.#epoch,
        logId: '',
        appliedSeq: 0n,
        runningJobs: [],
        namespaces: ['x-a', 'x-snp'],
        nonce: Buffer.alloc(32, 1),
        agentVersion: 'bench',
        lastCommandId: '',
        trustBundleDigest: Buffer.alloc(0),
      },
    });
  }

  #receive(bytes: Buffer): void {
    const { message } = SessionResponse.decode(bytes);
    switch (message?.$case) {
      case 'welcome':
        this.#epoch = message.value.epoch;
        this.#failures = 0;
        this.#onOpen();
        return;
      case 'heartbeatAck':
        this.#acknowledged?.();
        return;
      case 'challenge':
        void this.#attest(message.value);
        return;
      case 'verdict':
        if (message.value.outcome !== VerdictOutcome.ACCEPTED) {
          throw new Error(`${this.member.name} was refused: ${JSON.stringify(message.value.reasons)}`);
        }
        this.accepted += 1;
        this.#onProven();
        return;
      case 'command':
        this.#obey(message.value);
        return;
      default:
    }
  }

  #obey({ seq, action }: Command): void {
    const now = performance.now();
    if (action?.$case === 'stopJob') this.stoppedAt = now;
    if (action?.$case === 'checkJob') {
      const { jobId, generation } = action.value;
      this.#send({ $case: 'jobCheck', value: { jobId, generation, accepted: true, reasons: [] } });
    }
    this.#send({ $case: 'commandAck', value: { seq, outcome: CommandOutcome.APPLIED, reasons: [] } });
  }

  async #attest({ id: challengeId, nonce }: Challenge): Promise<void> {
    const { name, privateKey, publicKey } = this.member;
    const identity = { trustDomain, role: 'site', name } as const;
    const evidence = this.#collect(reportData({ nonce, publicKey, identity }));
    const jws = await signAttestationToken({
      evidence,
      identity,
      audience: registryAudience(trustDomain),
      nonce,
      issuedAt: new Date(),
      lifetimeMs: 43_200_000,
      privateKey,
    });
    const tokens = [{ namespace: evidence.namespace, jws }];
    this.#send({ $case: 'attestation', value: { challengeId, tokens, failures: [] } });
  }

  #send(message: NonNullable<SessionRequest['message']>): void {
    this.#stream?.send(SessionRequest.encode({ message }).finish());
  }
}
