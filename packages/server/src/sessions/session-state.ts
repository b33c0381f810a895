import { refusal, type MusterError } from '@muster/shared/errors.js';
import {
  GoodbyeReason,
  type Attestation,
  type CommandAck,
  type Hello,
  type JobCheck,
  type JobReport,
} from '@muster/shared/gen/muster/v1/agent.js';
import { highestCommonVersion, protocolVersions } from '@muster/shared/protocol.js';
import { broken, type Upstream } from './frames.js';

/** Where a session stands. */
export interface SessionState {
  /** `greeting` until Hello, `opening` until Welcome, then `open`. */
  readonly phase: 'greeting' | 'opening' | 'open' | 'ended';
  /** The number of the last heartbeat; 0 for none. */
  readonly heartbeat: bigint;
}

/** What happens to a session. */
export type SessionEvent =
  | { readonly type: 'received'; readonly message: Upstream }
  /** Hello was accepted. */
  | { readonly type: 'welcomed' }
  /** Hello did not come in time. */
  | { readonly type: 'greeting_overdue' }
  /** The agent's half of the stream ended, or the connection broke. */
  | { readonly type: 'disconnected' }
  /** The server ends it: fenced, silent, blocked, removed, a malformed frame or a failure of its own. */
  | { readonly type: 'closed'; readonly error?: MusterError };

/** What follows, in order. */
export type SessionEffect =
  | { readonly type: 'open'; readonly hello: Hello }
  /** A heartbeat that is newer than all before: the lease may be renewed. */
  | { readonly type: 'beat'; readonly seq: bigint }
  | { readonly type: 'attest'; readonly attestation: Attestation }
  | { readonly type: 'acknowledge'; readonly ack: CommandAck }
  | { readonly type: 'check'; readonly check: JobCheck }
  | { readonly type: 'report'; readonly report: JobReport }
  /** The agent says which CAs it trusts. */
  | { readonly type: 'trust'; readonly digest: Uint8Array }
  /** The agent ends for good: its tokens are removed. */
  | { readonly type: 'leave' }
  /** The stream ends, with an error for the agent or in order. */
  | { readonly type: 'end'; readonly error?: MusterError };

/** A session after an event, and what follows. */
export interface SessionDecision {
  readonly state: SessionState;
  readonly effects: readonly SessionEffect[];
}

/** The state of a stream that nothing was received on. */
export const newSession: SessionState = { phase: 'greeting', heartbeat: 0n };

/** Decides what a session does. Whatever it does not expect ends it; after its end nothing has any effect. */
export function decideSession(state: SessionState, event: SessionEvent): SessionDecision {
  if (state.phase === 'ended') return unchanged(state);
  switch (event.type) {
    case 'received':
      return receive(state, event.message);
    case 'welcomed':
      return unchanged(state.phase === 'opening' ? { ...state, phase: 'open' } : state);
    case 'greeting_overdue':
      return state.phase === 'greeting' ? end(state, broken('Hello did not come in time')) : unchanged(state);
    case 'disconnected':
      return end(state);
    case 'closed':
      return end(state, event.error);
    default:
      return event satisfies never;
  }
}

function receive(state: SessionState, message: Upstream): SessionDecision {
  if (message.$case === 'hello') return greet(state, message.value);
  if (state.phase !== 'open') return end(state, broken('Hello comes first'));
  switch (message.$case) {
    case 'heartbeat': {
      const { seq } = message.value;
      if (seq <= state.heartbeat) return unchanged(state);
      return { state: { ...state, heartbeat: seq }, effects: [{ type: 'beat', seq }] };
    }
    case 'attestation':
      return { state, effects: [{ type: 'attest', attestation: message.value }] };
    case 'commandAck':
      return { state, effects: [{ type: 'acknowledge', ack: message.value }] };
    case 'jobCheck':
      return { state, effects: [{ type: 'check', check: message.value }] };
    case 'jobReport':
      return { state, effects: [{ type: 'report', report: message.value }] };
    case 'trustBundleAck':
      return { state, effects: [{ type: 'trust', digest: message.value.digest }] };
    case 'goodbye': {
      const { state: ended, effects } = end(state);
      const leaves = message.value.reason === GoodbyeReason.SHUTDOWN;
      return { state: ended, effects: leaves ? [{ type: 'leave' }, ...effects] : effects };
    }
    default:
      return message satisfies never;
  }
}

function greet(state: SessionState, hello: Hello): SessionDecision {
  if (state.phase !== 'greeting') return end(state, broken('Hello comes once'));
  if (highestCommonVersion(hello, protocolVersions) === undefined) {
    const { protocolMin, protocolMax } = hello;
    const { min, max } = protocolVersions;
    const message = `The agent speaks the protocol versions ${protocolMin} to ${protocolMax}, this server ${min} to ${max}.`;
    return end(state, refusal('SESSION_VERSION', { message }));
  }
  return { state: { ...state, phase: 'opening' }, effects: [{ type: 'open', hello }] };
}

function unchanged(state: SessionState): SessionDecision {
  return { state, effects: [] };
}

function end(state: SessionState, error?: MusterError): SessionDecision {
  return {
    state: { ...state, phase: 'ended' },
    effects: [{ type: 'end', ...(error !== undefined && { error }) }],
  };
}
