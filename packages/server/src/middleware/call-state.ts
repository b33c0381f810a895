import type { Metadata } from '@grpc/grpc-js';
import type { Timer } from '@muster/shared/clock.js';
import type { Caller } from './caller.js';

/** What the interceptor knows of a call and its handler needs, and the other way round. */
export interface CallState {
  /** The caller; absent on the endpoint that authenticates nobody. */
  readonly caller?: Caller;
  /** The address that the call came from. */
  readonly address: string;
  /**
   * From now on something waits for the caller. Unless the timer is cancelled, because it was taken or the call is over,
   * the caller's connection ends: a call whose caller takes nothing cannot be ended otherwise.
   */
  readonly expectReader?: () => Timer;
  /** Set by the handler: called when the server ends the call because its caller is not accepted any more. */
  onEnded?: () => void;
  /** What the handler failed with: only its status travels, the cause is logged. */
  failure?: unknown;
}

/** By the call's metadata: the one object that grpc-js hands to interceptor and handler alike. */
const states = new WeakMap<Metadata, CallState>();

/** Attaches a call's state. */
export function setCallState(metadata: Metadata, state: CallState): void {
  states.set(metadata, state);
}

/** A call's state; empty for a call that came through no interceptor, which then has no caller. */
export function callState(metadata: Metadata): CallState {
  return states.get(metadata) ?? { address: 'unknown' };
}
