import { MusterError, refusal } from '@muster/shared/errors.js';
import { GoodbyeReason } from '@muster/shared/gen/muster/v1/agent.js';
import { errorFields } from '@muster/shared/logging/logger.js';
import { reason, type ReasonCode } from '@muster/shared/reasons.js';
import { backoffMs } from '../backoff.js';
import { acknowledgement } from './acknowledgement.js';
import { adopt, emptyLog, finish } from './command-log.js';
import { log, send, unchanged } from './effects.js';
import { beat, isDead } from './heartbeats.js';
import { hasEnded, isHeld, noLease } from './lease.js';
import { emptyOutbox, keep, type Outgoing } from './outbox.js';
import { receiveMessage } from './received.js';
import type { Decision, Moment, SessionEffect, SessionEvent, SessionState } from './session-types.js';

/** How long a stream may take to be connected and welcomed, ms. */
const welcomeTimeoutMs = 20_000;
/** How long after the server failed to prove itself a new session gives it another chance, ms. */
const unprovenRetryMs = 60_000;

/** With these the certificate is of no use any more, and enrolling again may mend it. */
const enrolCodes: ReadonlySet<ReasonCode> = new Set([
  'CERTIFICATE_EXPIRED',
  'CERTIFICATE_REVOKED',
  'CERTIFICATE_SUPERSEDED',
  'UNAUTHENTICATED',
]);
/** With these no attempt can succeed until a person acts. */
const finalCodes: ReadonlySet<ReasonCode> = new Set(['PARTICIPANT_REMOVED', 'SESSION_VERSION']);

/** The state of an agent that has enrolled and opens its first session at once. */
export function initialState(now: number): SessionState {
  return {
    leaving: false,
    epoch: 0n,
    streams: 0,
    active: undefined,
    opening: undefined,
    connectAt: now,
    enrolAt: undefined,
    drainedUntil: undefined,
    failures: 0,
    lease: noLease,
    log: emptyLog,
    outbox: emptyOutbox,
    challenges: [],
    attestedUntil: undefined,
    reasons: [],
  };
}

/** When a tick is needed next, on the monotonic clock, ms; undefined when only an event can change anything. */
export function nextTick(state: SessionState): number | undefined {
  const { lease, opening, active, connectAt, enrolAt, leaving } = state;
  const times = [
    lease.endsAt,
    opening?.deadline,
    active?.heartbeats.dueAt,
    enrolAt,
    opening === undefined && !leaving ? connectAt : undefined,
  ].filter((time) => time !== undefined);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** Decides one event of the sessions of an agent. Pure: time and randomness come with the moment. */
export function decide(state: SessionState, event: SessionEvent, moment: Moment): Decision {
  switch (event.type) {
    case 'tick':
      return tick(state, moment);
    case 'handover':
      return unchanged({ ...state, connectAt: moment.now, enrolAt: undefined });
    case 'received': {
      const decision = receiveMessage(state, event.stream, event.message, moment);
      if (decision !== undefined) return decision;
      return giveUp(state, event.stream, refusal('SESSION_PROTOCOL'), moment);
    }
    case 'closed':
      return closed(state, event.stream, event.error, moment);
    case 'server_judged':
      if (event.reasons.length === 0 || state.active?.id !== event.stream) return unchanged(state);
      return {
        state: { ...state, reasons: event.reasons, connectAt: moment.now + unprovenRetryMs },
        effects: [log('warn', 'session.refused', { code: 'SERVER_UNPROVEN', reasons: event.reasons })],
      };
    case 'command_finished': {
      if (event.logId !== state.log.logId) return unchanged(state);
      const finished = { ...state, log: finish(state.log, event.seq, event.result) };
      return deliver(finished, acknowledgement(event.seq, event.result.outcome, event.result.reasons));
    }
    case 'reconciled':
      if (event.logId !== state.log.logId) return unchanged(state);
      return unchanged({ ...state, log: adopt(state.log, event.throughSeq) });
    case 'attested': {
      const { attestation } = event;
      const unexpired = state.challenges.filter(({ expiresAt }) => moment.now < expiresAt);
      const challenges = unexpired.map((open) =>
        open.id === attestation.challengeId ? { ...open, answer: attestation } : open,
      );
      const wanted = challenges.some(({ id }) => id === attestation.challengeId);
      if (!wanted || state.active === undefined) return unchanged({ ...state, challenges });
      const answer = send(state.active.id, { $case: 'attestation', value: attestation });
      return { state: { ...state, challenges }, effects: [answer] };
    }
    case 'report':
      return deliver(state, event.message);
    case 'leave':
      return leave(state);
    default:
      return event satisfies never;
  }
}

/** Sends a message that must not get lost, and keeps it until the server has confirmed it. */
function deliver(state: SessionState, message: Outgoing): Decision {
  const { active } = state;
  return {
    state: { ...state, outbox: keep(state.outbox, message, active?.heartbeats.seq) },
    effects: active === undefined ? [] : [send(active.id, message)],
  };
}

function tick(before: SessionState, moment: Moment): Decision {
  let state = before;
  const effects: SessionEffect[] = [];
  if (hasEnded(state.lease, moment.now)) {
    state = { ...state, lease: noLease };
    effects.push(
      { type: 'stop_all', reasons: [reason('LEASE_EXPIRED')] },
      log('warn', 'lease.lost', { connected: state.active !== undefined }),
    );
  }
  for (const step of [checkOpening, heartbeat, enrol, connect]) {
    const decision = step(state, moment);
    state = decision.state;
    effects.push(...decision.effects);
  }
  return { state, effects };
}

function checkOpening(state: SessionState, moment: Moment): Decision {
  const { opening } = state;
  if (opening === undefined || moment.now < opening.deadline) return unchanged(state);
  return giveUp(state, opening.id, refusal('SERVER_UNREACHABLE'), moment);
}

function heartbeat(state: SessionState, moment: Moment): Decision {
  const { active } = state;
  if (active === undefined || moment.now < active.heartbeats.dueAt) return unchanged(state);
  if (isDead(active.heartbeats)) {
    const message = 'The server does not answer heartbeats.';
    return giveUp(state, active.id, refusal('SERVER_UNREACHABLE', { message }), moment);
  }
  const heartbeats = beat(active.heartbeats, moment.now, moment.random);
  return {
    state: { ...state, active: { ...active, heartbeats } },
    effects: [{ type: 'heartbeat', stream: active.id, seq: heartbeats.seq }],
  };
}

function enrol(state: SessionState, { now }: Moment): Decision {
  const { enrolAt } = state;
  if (enrolAt === undefined || now < enrolAt) return unchanged(state);
  return { state: { ...state, enrolAt: undefined }, effects: [{ type: 'enrol' }] };
}

function connect(state: SessionState, { now }: Moment): Decision {
  const { opening, connectAt, leaving } = state;
  if (leaving || opening !== undefined || connectAt === undefined || now < connectAt) return unchanged(state);
  const id = state.streams + 1;
  return {
    state: {
      ...state,
      streams: id,
      opening: { id, deadline: now + welcomeTimeoutMs },
      connectAt: undefined,
    },
    effects: [{ type: 'open', stream: id }],
  };
}

/** Ends a stream that is of no use any more, as if it had broken. */
function giveUp(state: SessionState, stream: number, error: MusterError, moment: Moment): Decision {
  const { state: next, effects } = closed(state, stream, error, moment);
  return { state: next, effects: [{ type: 'abort', stream }, ...effects] };
}

function closed(state: SessionState, stream: number, error: MusterError, moment: Moment): Decision {
  const { active, opening } = state;
  if (stream !== active?.id && stream !== opening?.id) return unchanged(state);
  const left = {
    ...state,
    active: stream === active?.id ? undefined : active,
    opening: stream === opening?.id ? undefined : opening,
    reasons: error.reasons,
  };
  if (state.leaving) return unchanged(left);
  if (finalCodes.has(error.code)) {
    return { state: { ...left, connectAt: undefined }, effects: [{ type: 'fail', error }] };
  }
  const closing = log('warn', 'session.closed', { stream, ...errorFields(error) });
  // Whatever the old certificate has come to: the session that is being opened has one of its own.
  if (left.opening !== undefined) return { state: left, effects: [closing] };
  if (needsEnrolment(state, error, moment.now)) {
    // At once, unless that has not helped: then a new certificate is refused as the old one was.
    const { failures } = state;
    const delayMs = failures === 0 ? 0 : backoffMs(failures, moment.random, error.retryAfterMs);
    const enrolAt = moment.now + delayMs;
    return { state: { ...left, failures: failures + 1, connectAt: undefined, enrolAt }, effects: [closing] };
  }
  const drainedMs = (state.drainedUntil ?? 0) - moment.now;
  const delayMs = drainedMs > 0 ? drainedMs : backoffMs(state.failures, moment.random, error.retryAfterMs);
  return {
    state: { ...left, failures: state.failures + 1, connectAt: moment.now + delayMs },
    effects: [closing, log('info', 'session.retry', { delay_ms: Math.round(delayMs) })],
  };
}

/** While a lease is held, a certificate of the future is kept: a new key would cost the jobs that run. */
function needsEnrolment({ lease }: SessionState, { code }: MusterError, now: number): boolean {
  return enrolCodes.has(code) || (code === 'CERTIFICATE_NOT_YET_VALID' && !isHeld(lease, now));
}

function leave(state: SessionState): Decision {
  const { active, opening } = state;
  return {
    state: { ...state, leaving: true, connectAt: undefined, enrolAt: undefined },
    effects: [
      ...(opening === undefined ? [] : [{ type: 'abort', stream: opening.id } as const]),
      ...(active === undefined
        ? []
        : [{ type: 'goodbye', stream: active.id, reason: GoodbyeReason.SHUTDOWN } as const]),
    ],
  };
}
