import type { handleServerStreamingCall, handleUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import { refusal } from '@muster/shared/errors.js';
import { toStatus } from '@muster/shared/grpc/status.js';
import { callState, type CallState } from './call-state.js';
import type { Caller } from './caller.js';

/** What a handler knows of its call beside the request. */
export interface CallContext {
  /** Who calls. Errors: UNAUTHENTICATED when read where nobody was authenticated. */
  readonly caller: Caller;
  /** The address that the call came from. */
  readonly address: string;
  /** Aborts when the caller has cancelled or is not accepted any more, its deadline has passed or the connection is gone. */
  readonly signal: AbortSignal;
}

interface Call {
  readonly metadata: Parameters<typeof callState>[0];
  once(event: 'cancelled' | 'close', listener: () => void): unknown;
}

/** A unary method from an async function. What it rejects with becomes the status of the call. */
export function unary<Request, Response>(
  handler: (request: Request, context: CallContext) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const context = contextOf(call, new AbortController());
    const state = callState(call.metadata);
    const respond = async (): Promise<void> => {
      try {
        callback(null, await handler(call.request, context));
        expectEnd(state, context.signal);
      } catch (error) {
        callback(failed(state, error));
      }
    };
    void respond();
  };
}

/** A server-streaming method from an async generator. A caller that reads slowly slows the generator down. */
export function serverStream<Request, Response>(
  handler: (request: Request, context: CallContext) => AsyncIterable<Response>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const context = contextOf(call, new AbortController());
    const { signal } = context;
    const state = callState(call.metadata);
    void attempt(() => pump(call, state, handler(call.request, context), signal))
      .catch((error: unknown) => fail(call, error, signal))
      .then(() => expectEnd(state, signal));
  };
}

/** Turns what a function throws before its first await into a rejection too. */
async function attempt<T>(work: () => Promise<T>): Promise<T> {
  return work();
}

function contextOf(call: Call, controller: AbortController): CallContext {
  const state = callState(call.metadata);
  state.onEnded = () => controller.abort();
  for (const event of ['cancelled', 'close'] as const) call.once(event, () => controller.abort());
  return {
    get caller() {
      return requireCaller(state);
    },
    address: state.address,
    signal: controller.signal,
  };
}

/** Who calls. Errors: UNAUTHENTICATED where nobody was authenticated. */
export function requireCaller({ caller }: CallState): Caller {
  if (caller === undefined) throw refusal('UNAUTHENTICATED');
  return caller;
}

async function pump<Response>(
  call: ServerWritableStream<unknown, Response>,
  state: CallState,
  responses: AsyncIterable<Response>,
  signal: AbortSignal,
): Promise<void> {
  for await (const response of responses) {
    if (signal.aborted) return;
    if (call.write(response)) continue;
    const unread = state.expectReader?.();
    await drained(call, signal);
    unread?.cancel();
  }
  if (!signal.aborted) call.end();
}

/** The call is over when the caller has taken what was sent, too. */
function expectEnd({ expectReader }: CallState, signal: AbortSignal): void {
  if (signal.aborted) return;
  const unread = expectReader?.();
  signal.addEventListener('abort', () => unread?.cancel(), { once: true });
}

/** Resolves when the call takes more, and also when it is gone: `drain` never comes then. */
function drained(call: NodeJS.EventEmitter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      call.removeListener('drain', settle);
      signal.removeEventListener('abort', settle);
      resolve();
    };
    if (signal.aborted) return resolve();
    call.once('drain', settle);
    signal.addEventListener('abort', settle);
    return undefined;
  });
}

function fail(call: NodeJS.EventEmitter & Call, error: unknown, signal: AbortSignal): void {
  if (!signal.aborted) call.emit('error', failed(callState(call.metadata), error));
}

/** The status of a call that failed; the cause is kept for the log. */
export function failed(state: CallState, error: unknown): ReturnType<typeof toStatus> {
  state.failure = error;
  return toStatus(error);
}
