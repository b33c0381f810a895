import type { handleBidiStreamingCall } from '@grpc/grpc-js';
import type { Timer } from '@muster/shared/clock.js';
import { callState } from './call-state.js';
import { failed, requireCaller } from './handlers.js';
import type { Caller } from './caller.js';

/** The way to the caller of a bidirectional stream. */
export interface Responses<Response> {
  /** Sends a message; false when the caller is behind: then {@link Conversation.drained} says when to go on. */
  send(response: Response): boolean;
  /** Ends the call: in order, after what was sent, or with an error. */
  end(error?: unknown): void;
}

/** What a bidirectional stream does with what happens to it. */
export interface Conversation<Request> {
  /** Takes a request. When a promise is returned, which must not reject, the next request waits for it. */
  received(request: Request): Promise<void> | undefined;
  /** The caller has caught up. */
  drained(): void;
  /** The caller has half-closed, or the call is gone. May be called several times. */
  closed(): void;
}

/**
 * A bidirectional method by callbacks, for streams that live long and say much: a message that waits for nothing makes
 * no promise. What `open` throws becomes the status of the call.
 */
export function messageStream<Request, Response>(
  open: (responses: Responses<Response>, caller: Caller) => Conversation<Request>,
): handleBidiStreamingCall<Request, Response> {
  return (call) => {
    const state = callState(call.metadata);
    let gone = false;
    let unread: Timer | undefined;
    const caughtUp = (): void => {
      unread?.cancel();
      unread = undefined;
    };
    const responses: Responses<Response> = {
      send: (response) => {
        if (gone) return false;
        if (call.write(response)) return true;
        unread ??= state.expectReader?.();
        return false;
      },
      end: (error) => {
        if (gone) return;
        unread ??= state.expectReader?.();
        if (error === undefined) call.end();
        else call.emit('error', failed(state, error));
      },
    };
    let conversation: Conversation<Request>;
    try {
      conversation = open(responses, requireCaller(state));
    } catch (error) {
      responses.end(error);
      return;
    }
    const onGone = (): void => {
      gone = true;
      caughtUp();
      conversation.closed();
    };
    state.onEnded = onGone;
    call.once('cancelled', onGone);
    call.once('close', onGone);
    call.on('end', () => conversation.closed());
    call.on('drain', () => {
      caughtUp();
      conversation.drained();
    });
    call.on('data', (request: Request) => {
      const pending = conversation.received(request);
      if (pending === undefined) return;
      call.pause();
      void pending.then(() => call.resume());
    });
  };
}
