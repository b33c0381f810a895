import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServerDuplexStream,
  ServerWritableStream,
} from '@grpc/grpc-js';
import { refusal } from '@muster/shared/errors.js';
import { toStatus } from '@muster/shared/grpc/status.js';
import { callState } from './call-state.js';
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
    const respond = async (): Promise<void> => {
      try {
        callback(null, await handler(call.request, context));
      } catch (error) {
        callback(failed(call, error));
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
    const controller = new AbortController();
    const context = contextOf(call, controller);
    void attempt(() => pump(call, handler(call.request, context), controller.signal)).catch(
      (error: unknown) => fail(call, error, controller.signal),
    );
  };
}

/**
 * A bidirectional method from a function of requests to responses. The requests end when the caller half-closes, and
 * reject when the call is gone. The call ends with the responses.
 */
export function bidirectional<Request, Response>(
  handler: (requests: AsyncIterable<Request>, context: CallContext) => AsyncIterable<Response>,
): handleBidiStreamingCall<Request, Response> {
  return (call) => {
    const controller = new AbortController();
    const context = contextOf(call, controller);
    const requests = call.iterator({ destroyOnReturn: false }) as AsyncIterable<Request>;
    void attempt(() => pump(call, handler(requests, context), controller.signal)).catch((error: unknown) =>
      fail(call, error, controller.signal),
    );
  };
}

/** Turns what a function throws before its first await into a rejection too. */
async function attempt<T>(work: () => Promise<T>): Promise<T> {
  return work();
}

function contextOf(call: Call, controller: AbortController): CallContext {
  const { caller, address, ended } = callState(call.metadata);
  ended?.addEventListener('abort', () => controller.abort(), { once: true });
  for (const event of ['cancelled', 'close'] as const) call.once(event, () => controller.abort());
  return {
    get caller() {
      if (caller === undefined) throw refusal('UNAUTHENTICATED');
      return caller;
    },
    address,
    signal: controller.signal,
  };
}

type Writable<Response> = ServerWritableStream<unknown, Response> | ServerDuplexStream<unknown, Response>;

async function pump<Response>(
  call: Writable<Response>,
  responses: AsyncIterable<Response>,
  signal: AbortSignal,
): Promise<void> {
  for await (const response of responses) {
    if (signal.aborted) return;
    if (!call.write(response)) await drained(call, signal);
  }
  if (!signal.aborted) call.end();
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
  if (!signal.aborted) call.emit('error', failed(call, error));
}

function failed(call: Call, error: unknown): ReturnType<typeof toStatus> {
  callState(call.metadata).failure = error;
  return toStatus(error);
}
