import type { Outgoing } from './outbox.js';
import type { Decision, SessionEffect, SessionState, StreamId } from './session-types.js';

type Log = Extract<SessionEffect, { type: 'log' }>;

/** The effect that logs an event. */
export function log(level: Log['level'], event: Log['event'], fields: Log['fields'] = {}): SessionEffect {
  return { type: 'log', level, event, fields };
}

/** The effect that sends a message on a stream. */
export function send(stream: StreamId, message: Outgoing): SessionEffect {
  return { type: 'send', stream, message };
}

/** A decision that needs nothing done. */
export function unchanged(state: SessionState): Decision {
  return { state, effects: [] };
}
