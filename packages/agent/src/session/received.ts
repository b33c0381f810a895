import type { Challenge } from '@muster/shared/gen/muster/v1/attestation.js';
import {
  GoodbyeReason,
  ResumeMode,
  VerdictOutcome,
  type Command,
  type HeartbeatAck,
  type SessionResponse,
  type Verdict,
  type Welcome,
} from '@muster/shared/gen/muster/v1/agent.js';
import { fromDuration } from '@muster/shared/grpc/duration.js';
import { fromReasonMessage } from '@muster/shared/grpc/reasons.js';
import { protocolVersions } from '@muster/shared/protocol.js';
import { nonceBytes } from '@muster/shared/tokens/binding.js';
import { acknowledgement } from './acknowledgement.js';
import { openLog, receive } from './command-log.js';
import { log, send, unchanged } from './effects.js';
import { acknowledge, startHeartbeats } from './heartbeats.js';
import { renewLease } from './lease.js';
import { confirm, resend } from './outbox.js';
import type { Decision, Moment, OpenStream, SessionEffect, SessionState, StreamId } from './session-types.js';

/** The bounds of what a Welcome may ask for, ms. */
const heartbeatBounds = { min: 100, max: 300_000 };
const longestLeaseMs = 3_600_000;
/** The longest time that a Drain may keep an agent waiting, ms. */
const longestDrainMs = 300_000;
const maxOpenChallenges = 8;

/**
 * Decides a message of the server. Undefined when the session's state does not allow the message or it cannot be read:
 * then the session ends. Messages of streams that are over change nothing.
 */
export function receiveMessage(
  state: SessionState,
  stream: StreamId,
  message: SessionResponse['message'],
  moment: Moment,
): Decision | undefined {
  if (stream === state.opening?.id) {
    return message?.$case === 'welcome' ? welcome(state, stream, message.value, moment) : undefined;
  }
  const { active } = state;
  if (stream !== active?.id) return unchanged(state);
  switch (message?.$case) {
    case undefined:
    case 'welcome':
      return undefined;
    case 'heartbeatAck':
      return heartbeatAck(state, active, message.value);
    case 'challenge':
      return challenge(state, active, message.value, moment);
    case 'verdict':
      return verdict(state, message.value);
    case 'desiredState':
      return {
        state,
        effects: [
          { type: 'reconcile', logId: state.log.logId, desired: message.value, adopt: active.snapshot },
        ],
      };
    case 'command':
      return command(state, active, message.value);
    case 'trustBundle':
      return { state, effects: [{ type: 'follow', stream, bundle: message.value }] };
    case 'drain': {
      const delayMs = Math.min(fromDuration(message.value.reconnectAfter) ?? 0, longestDrainMs);
      const at = moment.now + Math.max(0, delayMs);
      return { state: { ...state, connectAt: at, drainedUntil: at }, effects: [] };
    }
    default:
      return message satisfies never;
  }
}

function welcome(
  state: SessionState,
  stream: StreamId,
  value: Welcome,
  moment: Moment,
): Decision | undefined {
  const intervalMs = fromDuration(value.heartbeatInterval) ?? 0;
  const leaseTtlMs = fromDuration(value.leaseTtl) ?? 0;
  const graceLimitMs = fromDuration(value.graceLimit);
  const allowed =
    value.protocol >= protocolVersions.min &&
    value.protocol <= protocolVersions.max &&
    value.epoch > 0n &&
    value.logId !== '' &&
    (value.mode === ResumeMode.REPLAY || value.mode === ResumeMode.SNAPSHOT) &&
    intervalMs >= heartbeatBounds.min &&
    intervalMs <= heartbeatBounds.max &&
    leaseTtlMs > intervalMs &&
    leaseTtlMs <= longestLeaseMs &&
    (graceLimitMs ?? 0) >= 0 &&
    value.serverTime !== undefined;
  if (!allowed) return undefined;
  const active: OpenStream = {
    id: stream,
    snapshot: value.mode === ResumeMode.SNAPSHOT,
    leaseTtlMs,
    leaseRenewed: true,
    heartbeats: startHeartbeats(intervalMs, moment.now),
    serverClockMs: value.serverTime.getTime() - moment.now,
  };
  const outbox = resend(state.outbox, value.logId === state.log.logId);
  const challenges = state.challenges.filter(({ expiresAt }) => moment.now < expiresAt);
  const answers = challenges.flatMap(({ answer }) => (answer === undefined ? [] : [answer]));
  const again = [
    ...outbox.entries.map((entry) => entry.message),
    ...answers.map((answer) => ({ $case: 'attestation', value: answer }) as const),
  ];
  const predecessor = state.active;
  return {
    state: {
      ...state,
      epoch: value.epoch,
      active,
      opening: undefined,
      drainedUntil: undefined,
      log: openLog(state.log, value.logId),
      outbox,
      challenges,
      reasons: [],
    },
    effects: [
      log('info', 'session.opened', { stream, epoch: String(value.epoch), mode: value.mode }),
      ...(graceLimitMs === undefined ? [] : [{ type: 'limit_grace', ms: graceLimitMs } as const]),
      { type: 'judge_server', stream, welcome: value },
      ...again.map((message) => send(stream, message)),
      ...(predecessor === undefined
        ? []
        : [{ type: 'goodbye', stream: predecessor.id, reason: GoodbyeReason.HANDOVER } as const]),
    ],
  };
}

function heartbeatAck(
  state: SessionState,
  active: OpenStream,
  { seq, leaseRenewed }: HeartbeatAck,
): Decision | undefined {
  if (seq > active.heartbeats.seq) return undefined;
  const { heartbeats, sentAt } = acknowledge(active.heartbeats, seq);
  const renewed = leaseRenewed && sentAt !== undefined;
  const refused = active.leaseRenewed && !leaseRenewed;
  return {
    state: {
      ...state,
      active: { ...active, heartbeats, leaseRenewed },
      failures: 0,
      lease: renewed ? renewLease(state.lease, sentAt, active.leaseTtlMs) : state.lease,
      outbox: confirm(state.outbox, seq),
    },
    effects: refused ? [log('warn', 'session.refused', { lease_renewed: false })] : [],
  };
}

function challenge(
  state: SessionState,
  active: OpenStream,
  value: Challenge,
  { now }: Moment,
): Decision | undefined {
  if (value.id === '' || value.nonce.length !== nonceBytes || value.deadline === undefined) return undefined;
  if (state.challenges.some(({ id }) => id === value.id)) return unchanged(state);
  const withinMs = value.deadline.getTime() - active.serverClockMs - now;
  if (!(withinMs > 0)) return unchanged(state);
  const open = { id: value.id, expiresAt: now + withinMs };
  return {
    state: { ...state, challenges: [...state.challenges, open].slice(-maxOpenChallenges) },
    effects: [
      log('debug', 'attestation.challenged', { challenge: value.id, namespaces: value.namespaces }),
      { type: 'attest', challenge: value },
    ],
  };
}

function verdict(state: SessionState, value: Verdict): Decision | undefined {
  const challenges = state.challenges.filter(({ id }) => id !== value.challengeId);
  const reasons = value.reasons.map(fromReasonMessage);
  const fields = { challenge: value.challengeId, reasons, expires_at: value.expiresAt?.toISOString() };
  switch (value.outcome) {
    case VerdictOutcome.ACCEPTED:
      return {
        state: { ...state, challenges, attestedUntil: value.expiresAt, reasons: [] },
        effects: [log('info', 'attestation.accepted', fields)],
      };
    case VerdictOutcome.REJECTED:
      return {
        state: { ...state, challenges, attestedUntil: undefined, reasons },
        effects: [log('warn', 'attestation.rejected', fields)],
      };
    case VerdictOutcome.DEFERRED:
      return {
        state: { ...state, challenges, reasons },
        effects: [log('warn', 'attestation.deferred', fields)],
      };
    default:
      return undefined;
  }
}

function command(state: SessionState, active: OpenStream, value: Command): Decision | undefined {
  const { log: commandLog, arrival } = receive(state.log, value);
  const acknowledged = (...about: Parameters<typeof acknowledgement>): SessionEffect =>
    send(active.id, acknowledgement(...about));
  switch (arrival.type) {
    case 'overflow':
      return undefined;
    case 'running':
      return { state, effects: [acknowledged(value.seq, 'RECEIVED')] };
    case 'finished': {
      const { outcome, reasons } = arrival.result;
      return { state, effects: [acknowledged(value.seq, outcome, reasons)] };
    }
    case 'apply':
      return {
        state: { ...state, log: commandLog },
        effects: [
          acknowledged(value.seq, 'RECEIVED'),
          { type: 'apply', logId: commandLog.logId, command: value },
        ],
      };
    default:
      return arrival satisfies never;
  }
}
