import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openEndpoint, type Endpoint } from '@muster/server/endpoints/endpoint.js';
import { certificateAuthentication } from '@muster/server/middleware/caller.js';
import { serverStream, unary } from '@muster/server/middleware/handlers.js';
import { LiveCalls } from '@muster/server/middleware/live-calls.js';
import { messageStream } from '@muster/server/middleware/message-stream.js';
import { RateLimiter } from '@muster/server/middleware/rate-limit.js';
import { AgentServiceService, SessionResponse } from '@muster/shared/gen/muster/v1/agent.js';
import {
  ParticipantServiceService,
  WatchParticipantsResponse,
} from '@muster/shared/gen/muster/v1/participant.js';
import type { Role } from '@muster/shared/spiffe.js';
import { eventually } from '../../support/eventually.js';
import { silentLogger } from '../../support/logger.js';
import { createFederation, type TestFederation } from '../../support/members.js';
import { openSilently, type SilentReader } from '../../support/silent-reader.js';

const unlimited = { rate: 1e6, burst: 1e6 };
/** More than a stream takes before it says that the caller is behind. */
const many = 64;
const heartbeatAck = SessionResponse.fromPartial({
  message: { $case: 'heartbeatAck', value: { seq: 1n, leaseRenewed: true } },
} as never);
let federation: TestFederation;
let endpoint: Endpoint;
let liveCalls: LiveCalls;
let handled: string[];
let reader: SilentReader | undefined;

beforeEach(async () => {
  federation = await createFederation();
  const { store, clock, ca } = federation;
  liveCalls = new LiveCalls();
  handled = [];
  endpoint = await openEndpoint({
    services: [
      {
        definition: ParticipantServiceService,
        implementation: {
          listParticipants: unary(async () => {
            handled.push('list');
            return { participants: [] };
          }),
          watchParticipants: serverStream(async function* (_: object, { signal }) {
            signal.addEventListener('abort', () => handled.push('aborted'));
            for (let count = 1; count <= many; count += 1) {
              handled.push(`change ${count}`);
              yield WatchParticipantsResponse.fromPartial({ removed: false });
            }
          }),
        },
      },
      {
        definition: AgentServiceService,
        implementation: {
          session: messageStream<unknown, SessionResponse>((responses) => ({
            received: () => {
              for (let count = 1; responses.send(heartbeatAck); count += 1) handled.push(`sent ${count}`);
              return undefined;
            },
            drained: () => handled.push('drained'),
            closed: () => handled.push('closed'),
          })),
        },
      },
    ],
    credentials: await federation.endpoint(true),
    guard: {
      authenticate: certificateAuthentication(store, ca.trustDomain, clock),
      addressLimit: new RateLimiter(unlimited, clock),
      callerLimit: new RateLimiter(unlimited, clock),
      liveCalls,
      onDenied: async () => undefined,
      logger: silentLogger,
      clock,
    },
    listen: { host: '127.0.0.1', port: 0, maxConnections: 100, maxConnectionsPerAddress: 100 },
    reflection: false,
    clock,
  });
});
afterEach(async () => {
  reader?.close();
  await endpoint.stop(0);
  await federation.close();
});

async function call(role: Role, path: string): Promise<SilentReader> {
  reader = openSilently(endpoint.port, await federation.client(role), path);
  reader.send(new Uint8Array());
  if (path !== AgentServiceService.session.path) reader.finish();
  await eventually(() => federation.clock.timers > 0, 'something to wait for its reader');
  return reader;
}

const cases = [
  ['unary call', 'operator', ParticipantServiceService.listParticipants.path],
  ['stream of changes', 'operator', ParticipantServiceService.watchParticipants.path],
  ['session', 'site', AgentServiceService.session.path],
] as const;

describe.each(cases)('a %s whose caller takes nothing', (_what, role, path) => {
  it('loses its connection after 15 seconds', async () => {
    const { closed, isClosed } = await call(role, path);
    await federation.clock.advance(14_999);
    expect(isClosed()).toBe(false);
    await federation.clock.advance(1);
    await closed;
    expect(handled.length).toBeLessThan(many);
    expect(federation.clock.timers).toBe(0);
  });

  it('goes on when the caller reads in time', async () => {
    const { readOn, isClosed } = await call(role, path);
    await federation.clock.advance(14_000);
    readOn();
    await eventually(() => federation.clock.timers === 0, 'everything to be read');
    await federation.clock.advance(60_000);
    expect(isClosed()).toBe(false);
  });

  it('costs nothing once it is given up', async () => {
    const { close } = await call(role, path);
    close();
    await eventually(() => federation.clock.timers === 0, 'the call to be over');
  });
});

it('a call that the server ends loses its connection as well when the caller takes nothing', async () => {
  const { closed } = await call('site', AgentServiceService.session.path);
  await federation.clock.advance(3_600_000 - 1);
  liveCalls.sweep(federation.clock, new Set());
  await closed;
});
