import type { Command } from '@muster/shared/gen/muster/v1/agent.js';
import type { FailureKind } from '@muster/shared/policy/responses.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { KeyObject } from 'node:crypto';
import type { Transaction } from './store/store.js';
import type { Appraisal, Endorsements } from '@muster/shared/evidence/appraisal.js';

/** What the parts of the server need of each other. Each is implemented in the folder of its name. */

/** A token that the registry holds. */
export interface RegisteredToken {
  readonly namespace: string;
  readonly jws: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly appraisedAt: Date;
  readonly appraisal: Appraisal;
  /** The signed attestation result, compact. */
  readonly ear: string;
  /** SHA-256 of the evidence, hex. */
  readonly evidenceDigest: string;
  /** What peers need to verify it offline. */
  readonly endorsements: Endorsements;
}

/** A participant as the registry knows it. */
export interface RegisteredParticipant {
  readonly name: string;
  readonly role: 'site' | 'server';
  readonly enrolledAt?: Date;
  /** The enrolled key, SubjectPublicKeyInfo, DER. A session with a certificate for another key is refused. */
  readonly publicKey?: Uint8Array;
  /** Present while quarantined. */
  readonly quarantine?: readonly Reason[];
  /** What was last wrong; empty when nothing is. */
  readonly lastReasons: readonly Reason[];
  readonly connected: boolean;
  /** True when heartbeats have been missing for longer than allowed. */
  readonly silent: boolean;
  readonly lastSeenAt?: Date;
  readonly epoch: number;
  readonly agentVersion: string;
  readonly tokens: readonly RegisteredToken[];
}

/** Whether a participant may take part in jobs, and if not, every reason. */
export interface Standing {
  readonly admissible: boolean;
  readonly exempt: boolean;
  readonly reasons: readonly Reason[];
  /** When the first required token expires; absent when exempt or not admissible. */
  readonly expiresAt?: Date;
}

/** The registry of participants and their verified tokens: in memory, written through to the store. */
export interface Registry {
  all(): readonly RegisteredParticipant[];
  find(name: string): RegisteredParticipant | undefined;
  /** Decides from what the registry holds, at this moment: enrolled, not quarantined, not silent, every required namespace proven and unexpired. */
  standing(name: string): Standing;
  /** Calls back after every change of a participant; undefined when it was removed. Returns the way to unsubscribe. */
  watch(listener: (name: string, participant: RegisteredParticipant | undefined) => void): () => void;
  /** Records that a name may enrol; a known one stays as it is. Memory follows after the commit, as for every change. */
  invite(tx: Transaction, name: string): Promise<void>;
  /**
   * Records the key (SubjectPublicKeyInfo, DER) that a participant enrolled with. Tokens bound to another key are deleted;
   * a quarantine stays. Errors: PARTICIPANT_UNKNOWN.
   */
  enroll(tx: Transaction, name: string, publicKey: Uint8Array): Promise<void>;
  /** Bars a participant; false when it was barred already. Memory follows after the commit. Errors: PARTICIPANT_UNKNOWN. */
  quarantine(tx: Transaction, name: string, reasons: readonly Reason[]): Promise<boolean>;
  /** Ends a quarantine and deletes the tokens, so that fresh evidence is needed; false when it was not barred. Errors: PARTICIPANT_UNKNOWN. */
  readmit(tx: Transaction, name: string): Promise<boolean>;
  /** Deletes a participant with its tokens and commands and revokes its certificates. Errors: PARTICIPANT_UNKNOWN. */
  remove(tx: Transaction, name: string): Promise<void>;
}

/** What a command asks for. */
export type CommandAction = NonNullable<Command['action']>;

/** The session that something was said in. What it says is written only while it is the participant's newest. */
export interface Speaker {
  readonly participant: string;
  readonly epoch: number;
}

/** What became of a command. */
export interface CommandResult extends Speaker {
  readonly seq: number;
  readonly action: CommandAction;
  readonly outcome: 'RECEIVED' | 'APPLIED' | 'FAILED' | 'REJECTED';
  readonly reasons: readonly Reason[];
}

/** Durable commands: written in the caller's transaction, sent after its commit, again until acknowledged. */
export interface Commands {
  /**
   * Writes a command to each participant under its next sequence number. `flush` sends it once the transaction is
   * committed. Errors: PARTICIPANT_UNKNOWN.
   */
  enqueue(tx: Transaction, participants: readonly string[], action: CommandAction): Promise<void>;
  /** Sends what is pending to the participants that are connected. */
  flush(participants: readonly string[]): void;
  /** Calls back for every acknowledgement, in order per participant, before it is recorded as finished. */
  onResult(listener: (result: CommandResult) => Promise<void>): void;
}

/** The live sessions. */
export interface Sessions {
  isConnected(participant: string): boolean;
  /** When the last lease granted to a participant has certainly ended, on the monotonic clock, ms; 0 when it holds none. */
  leaseEndsAt(participant: string): number;
  /** Ends a participant's session at once, for example after its removal. */
  disconnect(participant: string): void;
  /** Asks every agent to come back later. */
  drain(): void;
}

/** What an agent reports about a job outside of command acknowledgements. Errors: SESSION_FENCED. */
export interface JobEvents {
  /** A site's own answer to CheckJob. */
  onJobCheck(
    speaker: Speaker,
    jobId: string,
    generation: number,
    accepted: boolean,
    reasons: readonly Reason[],
  ): Promise<void>;
  /** A change of a job's process at a site. */
  onJobReport(
    speaker: Speaker,
    jobId: string,
    generation: number,
    state: 'RUNNING' | 'COMPLETED' | 'FAILED' | 'STOPPED',
    exitCode: number,
    reasons: readonly Reason[],
  ): Promise<void>;
  /** The jobs that a site shall be permitted to run, for DesiredState. */
  permitsOf(
    participant: string,
  ): readonly { readonly jobId: string; readonly generation: number; readonly permit: string }[];
  /** A site says which jobs run there, when its session opens. */
  onRunningJobs(
    speaker: Speaker,
    running: readonly { readonly jobId: string; readonly generation: number }[],
  ): Promise<void>;
}

/** Something that a policy answers by a graded response. */
export interface Failure {
  readonly kind: FailureKind;
  readonly participant: string;
  readonly reasons: readonly Reason[];
}

/** Carries out the graded response, exactly once per failure that is in effect. */
export interface Failures {
  report(failure: Failure): Promise<void>;
}

/** Fresh evidence on demand. */
export interface Attestation {
  /**
   * Challenges participants (the server included) and waits for the verdicts or the deadline. Failures are reported to
   * {@link Failures} on the way. Participants that are not connected keep their standing.
   */
  verify(participants: readonly string[], deadlineMs: number): Promise<void>;
}

/** A decision as the audit log keeps it. */
export interface AuditEntry {
  /** The SPIFFE id of who caused it. */
  readonly actor: string;
  /** What was decided on, for example `participant.quarantine`. */
  readonly action: string;
  /** What it is about: a participant's or a job's name. */
  readonly subject: string;
  readonly decision: 'allowed' | 'refused' | 'done';
  readonly reasons: readonly Reason[];
  /** SHA-256 of the evidence that decided it, hex, by namespace. */
  readonly evidence?: Readonly<Record<string, string>>;
  readonly comment?: string;
}

/** The hash-chained audit log. */
export interface Audit {
  append(tx: Transaction, entry: AuditEntry): Promise<void>;
}

/** The key that signs permits and attestation results (ES256). */
export interface Signer {
  /** The server's SPIFFE id. */
  readonly issuer: string;
  readonly trustDomain: string;
  readonly keyId: string;
  readonly key: KeyObject;
  /** The public keys, a JWK set in JSON. */
  readonly jwks: string;
}
