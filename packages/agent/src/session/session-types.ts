import type { MusterError } from '@muster/shared/errors.js';
import type { Challenge } from '@muster/shared/gen/muster/v1/attestation.js';
import type {
  Attestation,
  Command,
  DesiredState,
  GoodbyeReason,
  SessionResponse,
  TrustBundle,
  Welcome,
} from '@muster/shared/gen/muster/v1/agent.js';
import type { LogEvent } from '@muster/shared/logging/events.js';
import type { LogFields } from '@muster/shared/logging/logger.js';
import type { Reason } from '@muster/shared/reasons.js';
import type { CommandLog, CommandResult } from './command-log.js';
import type { Heartbeats } from './heartbeats.js';
import type { Lease } from './lease.js';
import type { Outbox, Outgoing } from './outbox.js';

/** Names one stream of this agent; later ones have higher numbers. */
export type StreamId = number;

/** A stream that waits for its Welcome. */
export interface OpeningStream {
  readonly id: StreamId;
  /** When it counts as unanswered, on the monotonic clock, ms. */
  readonly deadline: number;
}

/** A stream that was welcomed. */
export interface OpenStream {
  readonly id: StreamId;
  readonly snapshot: boolean;
  readonly leaseTtlMs: number;
  readonly leaseRenewed: boolean;
  readonly heartbeats: Heartbeats;
  /** The server's clock minus this machine's monotonic clock, ms. */
  readonly serverClockMs: number;
}

/** A challenge that the server has not given a verdict on. */
export interface OpenChallenge {
  readonly id: string;
  /** When an answer is too late, on the monotonic clock, ms. */
  readonly expiresAt: number;
  /** Present once evidence was collected. */
  readonly answer?: Attestation;
}

/** All that an agent knows of its sessions with the server. */
export interface SessionState {
  readonly leaving: boolean;
  /** The epoch of the latest session; 0 before the first. */
  readonly epoch: bigint;
  /** How many streams were opened. */
  readonly streams: number;
  readonly active: OpenStream | undefined;
  readonly opening: OpeningStream | undefined;
  /** When the next stream is to be opened, on the monotonic clock, ms; undefined when none is wanted. */
  readonly connectAt: number | undefined;
  /** When to enrol again, on the monotonic clock, ms; undefined while the certificate will do. */
  readonly enrolAt: number | undefined;
  /** When the server that is about to end asked this agent to come back, on the monotonic clock, ms. */
  readonly drainedUntil: number | undefined;
  /** Attempts that failed since a heartbeat was last acknowledged. */
  readonly failures: number;
  readonly lease: Lease;
  readonly log: CommandLog;
  readonly outbox: Outbox;
  readonly challenges: readonly OpenChallenge[];
  /** When the accepted attestation expires. */
  readonly attestedUntil: Date | undefined;
  /** Why the last session or attestation was refused; empty when all is well. */
  readonly reasons: readonly Reason[];
}

/** What can happen. */
export type SessionEvent =
  /** Time has passed. */
  | { readonly type: 'tick' }
  /** A new session is wanted beside the present one, for example because the certificate is new. */
  | { readonly type: 'handover' }
  | {
      readonly type: 'received';
      readonly stream: StreamId;
      readonly message: SessionResponse['message'];
    }
  | { readonly type: 'closed'; readonly stream: StreamId; readonly error: MusterError }
  /** The server's own evidence was appraised; no reasons mean that it is proven. */
  | { readonly type: 'server_judged'; readonly stream: StreamId; readonly reasons: readonly Reason[] }
  | {
      readonly type: 'command_finished';
      readonly logId: string;
      readonly seq: bigint;
      readonly result: CommandResult;
    }
  /** Nothing runs any more beside what a desired state, sent instead of commands, allows. */
  | { readonly type: 'reconciled'; readonly logId: string; readonly throughSeq: bigint }
  | { readonly type: 'attested'; readonly attestation: Attestation }
  /** A report or an answer that must reach the server. */
  | { readonly type: 'report'; readonly message: Outgoing }
  /** All jobs are stopped and the agent ends. */
  | { readonly type: 'leave' };

/** What has to be done. */
export type SessionEffect =
  | { readonly type: 'open'; readonly stream: StreamId }
  | { readonly type: 'send'; readonly stream: StreamId; readonly message: Outgoing }
  | { readonly type: 'heartbeat'; readonly stream: StreamId; readonly seq: bigint }
  | { readonly type: 'goodbye'; readonly stream: StreamId; readonly reason: GoodbyeReason }
  | { readonly type: 'abort'; readonly stream: StreamId }
  | { readonly type: 'judge_server'; readonly stream: StreamId; readonly welcome: Welcome }
  | { readonly type: 'apply'; readonly logId: string; readonly command: Command }
  | {
      readonly type: 'reconcile';
      readonly logId: string;
      readonly desired: DesiredState;
      /** Whether the desired state stands for the commands that it includes, because they are not sent. */
      readonly adopt: boolean;
    }
  | { readonly type: 'attest'; readonly challenge: Challenge }
  /** The server bounds the grace of what the site ends by itself, ms. */
  | { readonly type: 'limit_grace'; readonly ms: number }
  | { readonly type: 'stop_all'; readonly reasons: readonly [Reason, ...Reason[]] }
  /** The server names the CAs to trust. */
  | { readonly type: 'follow'; readonly stream: StreamId; readonly bundle: TrustBundle }
  /** The certificate is not accepted any more. */
  | { readonly type: 'enrol' }
  /** The agent must end. */
  | { readonly type: 'fail'; readonly error: MusterError }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn';
      readonly event: LogEvent;
      readonly fields: LogFields;
    };

/** The next state, and what has to be done. */
export interface Decision {
  readonly state: SessionState;
  readonly effects: readonly SessionEffect[];
}

/** When something is decided. */
export interface Moment {
  /** The monotonic clock, ms. */
  readonly now: number;
  /** In [0, 1); for jitter. */
  readonly random: number;
}
