import type { Client } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { auditLog } from '@muster/server/audit/log.js';
import { openEndpoint, type Endpoint } from '@muster/server/endpoints/endpoint.js';
import { joinTokenHash } from '@muster/server/enrollment/join-token.js';
import { certificateAuthentication } from '@muster/server/middleware/caller.js';
import { LiveCalls } from '@muster/server/middleware/live-calls.js';
import { RateLimiter } from '@muster/server/middleware/rate-limit.js';
import { ParticipantRegistry } from '@muster/server/registry/participant-registry.js';
import { participantMessages } from '@muster/server/services/participant-messages.js';
import { participantService } from '@muster/server/services/participant.js';
import { listAuditRecords } from '@muster/server/store/audit.js';
import { selectJoinToken } from '@muster/server/store/join-tokens.js';
import {
  ParticipantServiceService as methods,
  ParticipantState as State,
  type WatchParticipantsResponse,
} from '@muster/shared/gen/muster/v1/participant.js';
import { toDuration } from '@muster/shared/grpc/duration.js';
import { call, connect } from '../../support/grpc-client.js';
import { silentLogger } from '../../support/logger.js';
import { createFederation, type TestFederation } from '../../support/members.js';
import { testPolicy } from '../../support/policies.js';
import { presenter } from '../../support/tokens.js';
import { until } from '../../support/until.js';

const policy = testPolicy({
  servers: [{ name: 'central', exempt: true, because: 'test' }],
  sites: [
    { name: 'site-*', require: ['x-a'] },
    { name: 'legacy', exempt: true, because: 'no confidential hardware yet' },
  ],
});
let federation: TestFederation;
let registry: ParticipantRegistry;
let endpoint: Endpoint;
let operator: Client;
/** What the service has had done, in order. */
let done: string[];

beforeEach(async () => {
  federation = await createFederation();
  done = [];
  const { store, clock, ca } = federation;
  const { trustDomain } = ca;
  registry = await ParticipantRegistry.load(store, { clock, policy });
  await store.transaction(async (tx) => {
    await registry.enrollServer(tx, 'central', presenter('central', 'server').publicKey);
    for (const name of ['site-1', 'legacy']) {
      await registry.invite(tx, name);
      await registry.enroll(tx, name, presenter(name).publicKey);
    }
  });
  const service = participantService({
    store,
    registry,
    sessions: { disconnect: (name) => void done.push(`disconnect ${name}`) },
    audit: auditLog(clock),
    policy,
    serverName: 'central',
    caHash: () => ca.hash,
    endJobsOf: async (name, reasons) => void done.push(`end jobs of ${name}: ${reasons[0]?.code}`),
    reattest: (name) => void done.push(`reattest ${name}`),
    participantMessage: participantMessages({ registry, policy, trustDomain, jobsOf: () => ['job-1'] }),
    clock,
  });
  const limit = new RateLimiter({ rate: 1e6, burst: 1e6 }, clock);
  endpoint = await openEndpoint({
    services: [{ definition: methods, implementation: { ...service } }],
    credentials: await federation.endpoint(true),
    guard: {
      authenticate: certificateAuthentication(store, trustDomain, clock),
      addressLimit: limit,
      callerLimit: limit,
      liveCalls: new LiveCalls(),
      onDenied: async () => undefined,
      logger: silentLogger,
      clock,
    },
    listen: { host: '127.0.0.1', port: 0, maxConnections: 10, maxConnectionsPerAddress: 10 },
    reflection: false,
    clock,
  });
  operator = connect(endpoint.port, await federation.client('operator', 'olga'));
});
afterEach(async () => {
  operator.close();
  await endpoint.stop(0);
  await federation.close();
});

async function audited(): Promise<unknown[]> {
  const rows = await federation.store.transaction((tx) => listAuditRecords(tx, 1, 100));
  return rows.map(({ content }) => {
    const { actor, action, subject, comment } = JSON.parse(content) as Record<string, string>;
    return { actor, action, subject, comment };
  });
}

const stateOf = async (name: string): Promise<State | undefined> =>
  (await call(operator, methods.getParticipant, { name })).participant?.state;
const by = { actor: 'spiffe://federation.example/operator/olga' };
const refusedWith = (code: string, path?: string): object => ({
  code,
  ...(path !== undefined && { reasons: [expect.objectContaining({ code, path })] }),
});

describe('participants', () => {
  it('are listed by name, the server among them, with what they must prove and where they stand', async () => {
    const { participants } = await call(operator, methods.listParticipants, {});
    expect(participants.map(({ name, state, server, exempt }) => [name, state, server, exempt])).toEqual([
      ['central', State.TRUSTED, true, true],
      ['legacy', State.TRUSTED, false, true],
      ['site-1', State.UNPROVEN, false, false],
    ]);
    expect(participants[2]).toMatchObject({
      spiffeId: 'spiffe://federation.example/site/site-1',
      requiredNamespaces: ['x-a'],
      jobs: ['job-1'],
      reasons: [expect.objectContaining({ code: 'ATTESTATION_MISSING', namespace: 'x-a' })],
    });
  });

  it('are refused when unknown or badly named', async () => {
    await expect(call(operator, methods.getParticipant, { name: 'site-9' })).rejects.toMatchObject(
      refusedWith('PARTICIPANT_UNKNOWN'),
    );
    const quarantine = call(operator, methods.quarantineParticipant, { name: 'Site 1', comment: '' });
    await expect(quarantine).rejects.toMatchObject(refusedWith('PARTICIPANT_NAME_INVALID', 'name'));
  });
});

describe('a quarantine', () => {
  it('bars a participant, ends its jobs, and is recorded once', async () => {
    const request = { name: 'legacy', comment: 'maintenance' };
    const { participant } = await call(operator, methods.quarantineParticipant, request);
    expect(participant).toMatchObject({
      state: State.QUARANTINED,
      reasons: [expect.objectContaining({ code: 'OPERATOR_QUARANTINE' })],
    });
    await call(operator, methods.quarantineParticipant, request);
    expect(registry.standing('legacy').admissible).toBe(false);
    expect(new Set(done)).toEqual(new Set(['end jobs of legacy: OPERATOR_QUARANTINE']));
    expect(await audited()).toEqual([
      { ...by, action: 'participant.quarantine', subject: 'legacy', comment: 'maintenance' },
    ]);
  });

  it('ends by readmission, after which fresh evidence is asked for', async () => {
    await call(operator, methods.quarantineParticipant, { name: 'legacy', comment: '' });
    done = [];
    const { participant } = await call(operator, methods.readmitParticipant, { name: 'legacy', comment: '' });
    expect(participant?.state).toBe(State.TRUSTED);
    await call(operator, methods.readmitParticipant, { name: 'legacy', comment: '' });
    expect(done).toEqual(['reattest legacy']);
    expect(await audited()).toHaveLength(2);
  });

  it('takes no comment of more than 1,024 characters', async () => {
    const request = { name: 'legacy', comment: 'x'.repeat(1025) };
    await expect(call(operator, methods.quarantineParticipant, request)).rejects.toMatchObject(
      refusedWith('ARGUMENT_INVALID', 'comment'),
    );
    expect(await stateOf('legacy')).toBe(State.TRUSTED);
  });
});

describe('a removal', () => {
  it('ends the jobs first, then the certificates, the tokens and the session', async () => {
    const site = connect(endpoint.port, await federation.client('site', 'site-1'));
    await call(operator, methods.removeParticipant, { name: 'site-1', comment: '' });
    expect(done).toEqual(['end jobs of site-1: PARTICIPANT_REMOVED', 'disconnect site-1']);
    expect(registry.find('site-1')).toBeUndefined();
    await expect(call(site, methods.listParticipants, {})).rejects.toMatchObject({
      code: 'CERTIFICATE_REVOKED',
    });
    site.close();
    await expect(stateOf('site-1')).rejects.toMatchObject({ code: 'PARTICIPANT_UNKNOWN' });
  });

  it('is refused for the server and for a stranger', async () => {
    for (const [name, code] of [
      ['central', 'ARGUMENT_INVALID'],
      ['site-9', 'PARTICIPANT_UNKNOWN'],
    ] as const) {
      const removal = call(operator, methods.removeParticipant, { name, comment: '' });
      await expect(removal).rejects.toMatchObject({ code });
    }
    expect(done).toEqual([]);
  });
});

describe('a join token', () => {
  it('is made for a name, shown once with the hash to pin, and kept as a hash', async () => {
    const made = await call(operator, methods.createJoinToken, { participant: 'site-2', ttl: undefined });
    expect(made.caHash).toBe(federation.ca.hash);
    expect(made.expiresAt?.getTime()).toBe(federation.clock.now().getTime() + 3_600_000);
    expect(await stateOf('site-2')).toBe(State.INVITED);
    const row = await federation.store.transaction((tx) =>
      selectJoinToken(tx, joinTokenHash(made.joinToken)),
    );
    expect(row).toMatchObject({ participant: 'site-2', kind: 'join', used_at: null });
    expect(JSON.stringify(await audited())).not.toContain(made.joinToken);
  });

  it.each([
    ['the name of the server', 'central', 3600, 'ARGUMENT_INVALID', 'participant'],
    ['a name that is none', 'Site', 3600, 'PARTICIPANT_NAME_INVALID', 'participant'],
    ['a name that the policy does not list', 'other', 3600, 'POLICY_PARTICIPANT_UNLISTED', 'participant'],
    ['less than a minute', 'site-2', 59, 'ARGUMENT_INVALID', 'ttl'],
    ['more than a week', 'site-2', 7 * 86_400 + 1, 'ARGUMENT_INVALID', 'ttl'],
  ])('is refused for %s', async (_, participant, seconds, code, path) => {
    const request = { participant, ttl: toDuration(seconds * 1000) };
    await expect(call(operator, methods.createJoinToken, request)).rejects.toMatchObject(
      refusedWith(code, path),
    );
  });
});

describe('a watch', () => {
  it('sends the participants as they are, then every change', async () => {
    const { path, requestSerialize, responseDeserialize } = methods.watchParticipants;
    const stream = operator.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
    const seen: string[] = [];
    stream.on('data', ({ participant, removed }: WatchParticipantsResponse) => {
      seen.push(`${participant?.name} ${removed ? 'removed' : participant?.state}`);
    });
    stream.on('error', () => undefined);
    await until(() => seen.length === 3);
    await call(operator, methods.quarantineParticipant, { name: 'site-1', comment: '' });
    await call(operator, methods.removeParticipant, { name: 'site-1', comment: '' });
    await until(() => seen.length === 5);
    stream.cancel();
    expect(seen.slice(3)).toEqual([`site-1 ${State.QUARANTINED}`, 'site-1 removed']);
  });
});
