import {
  ServerInterceptingCall,
  status as codes,
  type Metadata,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import type { Clock, Timer } from '@muster/shared/clock.js';
import { MusterError } from '@muster/shared/errors.js';
import { toStatus } from '@muster/shared/grpc/status.js';
import { errorFields, type Logger } from '@muster/shared/logging/logger.js';
import { networkOf } from '../endpoints/network.js';
import { authorize } from './authorization.js';
import { setCallState, type CallState } from './call-state.js';
import type { Authenticate, Caller } from './caller.js';
import type { LiveCalls } from './live-calls.js';
import type { RateLimiter } from './rate-limit.js';

/** What stands between an endpoint's port and its services. */
export interface Guard {
  /** Absent on the enrolment endpoint, where every caller is anonymous. */
  readonly authenticate?: Authenticate;
  /** The calls of authenticated callers, which end when their certificates do. */
  readonly liveCalls: LiveCalls;
  /** By network of the address, before authentication. */
  readonly addressLimit: RateLimiter;
  /** By identity, after it. */
  readonly callerLimit: RateLimiter;
  /** Records that an authenticated caller was refused a method. Never rejects. */
  readonly onDenied: (caller: Caller, path: string, error: MusterError) => Promise<void>;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Ends the connection from an address and port. */
export type EndConnection = (peer: ReturnType<ServerInterceptingCallInterface['getConnectionInfo']>) => void;

/** How long a caller may take nothing of what is sent to it, ms. */
const unreadMs = 15_000;

/** Statuses that say something about this server rather than about the call. */
const serverFaults: ReadonlySet<unknown> = new Set([codes.INTERNAL, codes.UNKNOWN, codes.DATA_LOSS]);

/**
 * Lets a call through to its handler once it is within the limits, authenticated and authorized; refuses it otherwise.
 * Logs every call once, when it ends.
 */
export function guardInterceptor(guard: Guard, endConnection: EndConnection): ServerInterceptor {
  return ({ path }, call) => {
    const startedAt = guard.clock.monotonic();
    const expectReader = (): Timer =>
      guard.clock.schedule(unreadMs, () => {
        const { address, caller } = state;
        guard.logger.warn('connection.ended', {
          path,
          address,
          caller: caller?.spiffeId,
          unread_ms: unreadMs,
        });
        endConnection(call.getConnectionInfo());
      });
    let state: CallState = { address: addressOf(call), expectReader };
    let [over, sent] = [false, false];
    let unread: Timer | undefined;
    let forget = (): void => undefined;
    const finish = (): void => {
      over = true;
      forget();
    };
    const refuse = async (error: unknown): Promise<void> => {
      state.failure = error;
      if (error instanceof MusterError && error.code === 'PERMISSION_DENIED' && state.caller !== undefined) {
        await guard.onDenied(state.caller, path, error);
      }
      intercepting.sendStatus(toStatus(error));
    };
    const watch = (caller: Caller): void => {
      const end = (error: MusterError): void => {
        state.failure = error;
        intercepting.sendStatus(toStatus(error));
        unread = expectReader();
        state.onEnded?.();
      };
      if (!over) forget = guard.liveCalls.add({ caller, end });
    };
    const admit = async (metadata: Metadata, next: (metadata: Metadata) => void): Promise<void> => {
      try {
        guard.addressLimit.take(networkOf(state.address));
        const caller = await guard.authenticate?.(call.getAuthContext().sslPeerCertificate);
        if (caller !== undefined) {
          state = { ...state, caller };
          guard.callerLimit.take(caller.spiffeId);
        }
        authorize(path, caller?.role ?? 'anonymous');
        if (caller !== undefined) watch(caller);
      } catch (error) {
        await refuse(error);
        return;
      }
      setCallState(metadata, state);
      next(metadata);
    };
    const intercepting = new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => void admit(metadata, proceed),
          onCancel: () => {
            unread?.cancel();
            finish();
          },
        }),
      sendStatus: (status, next) => {
        if (sent) return;
        sent = true;
        finish();
        log(guard, path, state, status, guard.clock.monotonic() - startedAt);
        next(status);
      },
    });
    return intercepting;
  };
}

function log(
  { logger }: Guard,
  path: string,
  { caller, address, failure }: CallState,
  { code }: { readonly code?: codes | null },
  durationMs: number,
): void {
  const fields = {
    path,
    address,
    status: codes[code ?? codes.UNKNOWN],
    duration_ms: Math.round(durationMs),
    ...(caller !== undefined && { caller: caller.spiffeId }),
    ...(failure !== undefined && errorFields(failure)),
  };
  if (code === codes.OK) logger.debug('rpc.served', fields);
  else if (serverFaults.has(code)) logger.error('rpc.failed', fields);
  else logger.info('rpc.refused', fields);
}

function addressOf(call: ServerInterceptingCallInterface): string {
  return call.getConnectionInfo().remoteAddress ?? 'unknown';
}
