import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Activations } from '@muster/server/activation/activations.js';
import { Appraiser } from '@muster/server/attestation/appraisal.js';
import { Challenges } from '@muster/server/attestation/challenges.js';
import { auditLog } from '@muster/server/audit/log.js';
import { openSigner } from '@muster/server/ca/signer.js';
import { openEndpoint, type Endpoint } from '@muster/server/endpoints/endpoint.js';
import { Enrollment } from '@muster/server/enrollment/enrollment.js';
import { issueJoinToken } from '@muster/server/enrollment/issue-join-token.js';
import { LiveCalls } from '@muster/server/middleware/live-calls.js';
import { RateLimiter } from '@muster/server/middleware/rate-limit.js';
import { ParticipantRegistry } from '@muster/server/registry/participant-registry.js';
import { enrollmentService } from '@muster/server/services/enrollment.js';
import { listAuditRecords } from '@muster/server/store/audit.js';
import { endorsementSource } from '@muster/shared/endorsements/resolve.js';
import {
  EnrollmentServiceService as methods,
  type CreateChallengeResponse,
  type EnrollResponse,
} from '@muster/shared/gen/muster/v1/enrollment.js';
import { certificateIdentity, publicKeyDer } from '@muster/shared/pki/certificate.js';
import { createCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { FakeVerifier } from '../../support/fake-verifier.js';
import { call, connect } from '../../support/grpc-client.js';
import { silentLogger } from '../../support/logger.js';
import { createFederation, type TestFederation } from '../../support/members.js';
import { testPolicy } from '../../support/policies.js';
import {
  presenter,
  presentToken,
  trustDomain,
  type Presenter,
  type TokenChanges,
} from '../../support/tokens.js';

const hour = 3_600_000;
const policy = testPolicy({
  sites: [
    { name: 'site-*', require: ['x-a'] },
    { name: 'legacy', exempt: true, because: 'no confidential hardware yet' },
  ],
});
let federation: TestFederation;
let registry: ParticipantRegistry;
let endpoint: Endpoint;
let client: Client;
let directory: string;
let site: Presenter;
let joinToken: string;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'muster-enrollment-'));
  federation = await createFederation(trustDomain);
  const { store, clock, ca } = federation;
  registry = await ParticipantRegistry.load(store, { clock, policy });
  const signer = await openSigner(directory, { trustDomain, role: 'server', name: 'central' });
  const enrollment = new Enrollment({
    store,
    ca,
    registry,
    challenges: new Challenges(clock),
    activations: await Activations.load({ store, ca, clock }),
    appraiser: new Appraiser({
      policy,
      policyId: 'test',
      simulatedRoots: [],
      endorsements: endorsementSource([]),
      trustBundle: () => ca.bundle,
      signer,
      clock,
      verifiers: [new FakeVerifier('x-a')],
    }),
    audit: auditLog(clock),
    policy,
    challengeTimeoutMs: 30_000,
    certificateLifetimeMs: hour,
    logger: silentLogger,
    clock,
  });
  const limit = new RateLimiter({ rate: 1e6, burst: 1e6 }, clock);
  endpoint = await openEndpoint({
    services: [{ definition: methods, implementation: { ...enrollmentService(enrollment, ca) } }],
    credentials: await federation.endpoint(false),
    guard: {
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
  client = connect(endpoint.port, { trustBundle: ca.bundlePem, trustDomain });
  site = presenter('site-1');
  joinToken = await invite('site-1');
});
afterEach(async () => {
  client.close();
  await endpoint.stop(0);
  await federation.close();
  rmSync(directory, { recursive: true, force: true });
});

async function invite(participant: string, lifetimeMs = hour): Promise<string> {
  const { store, clock } = federation;
  return store.transaction(async (tx) => {
    await registry.invite(tx, participant);
    return (await issueJoinToken(tx, 'join', participant, lifetimeMs, clock.now())).token;
  });
}

function challenge(token = joinToken, who = site): Promise<CreateChallengeResponse> {
  return call(client, methods.createChallenge, {
    joinToken: token,
    participant: who.identity.name,
    publicKey: Buffer.from(who.publicKey),
    tpmKey: undefined,
  });
}

interface EnrollChanges extends TokenChanges {
  readonly joinToken?: string;
  readonly who?: Presenter;
  /** Whose key signs the request, instead of the enrolling one's. */
  readonly requestKey?: Presenter;
  readonly tokens?: number;
}

async function enroll(
  { challenge: asked }: CreateChallengeResponse,
  changes: EnrollChanges = {},
): Promise<EnrollResponse> {
  const { who = site, requestKey = who, tokens = 1, joinToken: token = joinToken, ...says } = changes;
  const { publicKey } = requestKey;
  const request = createCertificateRequest(requestKey.privateKey, keyObject(publicKey));
  const jws = await presentToken(who, asked?.nonce ?? Buffer.alloc(32), federation.clock.now(), says);
  return call(client, methods.enroll, {
    challengeId: asked?.id ?? '',
    joinToken: token,
    certificateRequest: Buffer.from(request),
    tokens: Array.from({ length: tokens }, () => ({ namespace: 'x-a', jws })),
    tpmSecret: Buffer.alloc(0),
  });
}

async function auditTrail(): Promise<{ action: string; decision: string; codes: string[] }[]> {
  const rows = await federation.store.transaction((tx) => listAuditRecords(tx, 1, 100));
  return rows.map(({ content }) => {
    const { action, decision, reasons } = JSON.parse(content) as {
      action: string;
      decision: string;
      reasons: { code: string }[];
    };
    return { action, decision, codes: reasons.map(({ code }) => code) };
  });
}

const refusedWith = (code: string): object => expect.objectContaining({ code });

describe('a site that proves itself', () => {
  it('gets a certificate for its key and name, and is trusted at once', async () => {
    const opened = await challenge();
    expect(opened).toMatchObject({ trustDomain, audience: `spiffe://${trustDomain}` });
    expect(opened.challenge).toMatchObject({ namespaces: ['x-a'] });
    expect(opened.challenge?.nonce).toHaveLength(32);

    const { certificateChain, trustBundle, rejoinToken } = await enroll(opened);
    expect(certificateChain).toHaveLength(1);
    const leaf = new X509Certificate(certificateChain[0] ?? Buffer.alloc(0));
    const root = new X509Certificate(trustBundle[0] ?? Buffer.alloc(0));
    expect(certificateIdentity(leaf)).toEqual({ trustDomain, role: 'site', name: 'site-1' });
    expect(publicKeyDer(leaf.publicKey)).toEqual(site.publicKey);
    expect(leaf.checkIssued(root)).toBe(true);
    expect(Date.parse(leaf.validTo)).toBeLessThanOrEqual(federation.clock.now().getTime() + hour);
    expect(rejoinToken).toMatch(/^muster-rejoin-/);
    expect(registry.standing('site-1')).toMatchObject({ admissible: true, exempt: false });
    expect(await auditTrail()).toEqual([{ action: 'participant.enroll', decision: 'done', codes: [] }]);
  });

  it('may repeat the call with the same key for 10 minutes, so that a lost reply strands nobody', async () => {
    const opened = await challenge();
    await enroll(opened);
    await federation.clock.advance(9 * 60_000);
    const again = await enroll(opened);
    expect(again.certificateChain).toHaveLength(1);
    await federation.clock.advance(60_000);
    await expect(enroll(opened)).rejects.toEqual(refusedWith('JOIN_TOKEN_USED'));
  });

  it('enrols again after a restart, with another key and fresh evidence, by its rejoin token', async () => {
    const { rejoinToken } = await enroll(await challenge());
    site = presenter('site-1');
    const reopened = await challenge(rejoinToken);
    expect(registry.standing('site-1').admissible).toBe(true);
    const { rejoinToken: next } = await enroll(reopened, { joinToken: rejoinToken });
    const certificates = await federation.store.transaction((tx) =>
      tx.selectFrom('certificates').selectAll().where('role', '=', 'site').orderBy('issued_at').execute(),
    );
    expect(
      certificates.map(({ revoked_at }) => (revoked_at === null ? 'valid' : 'revoked')).toSorted(),
    ).toEqual(['revoked', 'valid']);
    expect(registry.find('site-1')?.publicKey).toEqual(site.publicKey);
    const other = presenter('site-1');
    await expect(challenge(rejoinToken, other)).rejects.toEqual(refusedWith('JOIN_TOKEN_USED'));
    expect((await challenge(next, other)).challenge).toBeDefined();
  });

  it('may use the rejoin token of either reply when the first was lost, and then not the other', async () => {
    const opened = await challenge();
    const { rejoinToken: lost } = await enroll(opened);
    const { rejoinToken: arrived } = await enroll(opened);
    site = presenter('site-1');
    await enroll(await challenge(arrived), { joinToken: arrived });
    await expect(challenge(lost)).rejects.toEqual(refusedWith('JOIN_TOKEN_INVALID'));
  });

  it('stays quarantined when it was', async () => {
    await federation.store.transaction((tx) => registry.quarantine(tx, 'site-1', []));
    await enroll(await challenge());
    expect(registry.standing('site-1').admissible).toBe(false);
  });
});

describe('an exempt site', () => {
  it('enrols without evidence', async () => {
    site = presenter('legacy');
    joinToken = await invite('legacy');
    const opened = await challenge();
    expect(opened.challenge?.namespaces).toEqual([]);
    const { certificateChain } = await enroll(opened, { tokens: 0 });
    expect(certificateChain).toHaveLength(1);
    expect(registry.standing('legacy')).toMatchObject({ admissible: true, exempt: true });
  });
});

describe('a join token is refused', () => {
  it('when it is unknown, empty or too long', async () => {
    for (const token of ['muster-join-unknown', '', 'x'.repeat(1000)]) {
      await expect(challenge(token)).rejects.toEqual(refusedWith('JOIN_TOKEN_INVALID'));
    }
    expect(await auditTrail()).toEqual([]);
  });

  it('for another name', async () => {
    await expect(challenge(joinToken, presenter('site-2'))).rejects.toEqual(
      refusedWith('JOIN_TOKEN_INVALID'),
    );
  });

  it('when it has expired', async () => {
    await federation.clock.advance(hour);
    await expect(challenge()).rejects.toEqual(refusedWith('JOIN_TOKEN_EXPIRED'));
  });

  it('when another key has used it, which is recorded', async () => {
    await enroll(await challenge());
    await expect(challenge(joinToken, presenter('site-1'))).rejects.toEqual(refusedWith('JOIN_TOKEN_USED'));
    expect((await auditTrail()).at(-1)).toEqual({
      action: 'participant.enroll',
      decision: 'refused',
      codes: ['JOIN_TOKEN_USED'],
    });
  });

  it('when two keys enrol with it at the same time, for one of them', async () => {
    const other = presenter('site-1');
    const [mine, theirs] = [await challenge(), await challenge(joinToken, other)];
    const results = await Promise.allSettled([enroll(mine), enroll(theirs, { who: other })]);
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  });

  it('when its holder tries too often, with the delay', async () => {
    const attempts = Array.from({ length: 20 }, () => challenge());
    await Promise.all(attempts);
    await expect(challenge()).rejects.toMatchObject({ code: 'RATE_LIMITED', retryAfterMs: 1000 });
  });

  it('when the policy does not list the participant', async () => {
    const stranger = presenter('other-1');
    const token = await invite('other-1');
    await expect(challenge(token, stranger)).rejects.toEqual(refusedWith('POLICY_PARTICIPANT_UNLISTED'));
  });
});

describe('evidence is refused', () => {
  it('when nothing is presented', async () => {
    await expect(enroll(await challenge(), { tokens: 0 })).rejects.toEqual(
      refusedWith('ATTESTATION_MISSING'),
    );
  });

  it('when its appraisal fails, with the reasons, which are recorded, and no certificate is issued', async () => {
    const refused = enroll(await challenge(), { tier: 'contraindicated' });
    await expect(refused).rejects.toEqual(refusedWith('SNP_REPORT_LENGTH'));
    expect(await auditTrail()).toEqual([
      { action: 'participant.enroll', decision: 'refused', codes: ['SNP_REPORT_LENGTH'] },
    ]);
    const certificates = await federation.store.transaction((tx) =>
      tx.selectFrom('certificates').selectAll().where('role', '=', 'site').execute(),
    );
    expect(certificates).toEqual([]);
    expect(registry.find('site-1')?.enrolledAt).toBeUndefined();
  });

  it('when it answers another nonce, and the challenge is then used up', async () => {
    const opened = await challenge();
    const forged = {
      ...opened,
      challenge: { ...opened.challenge, nonce: Buffer.alloc(32) },
    } as typeof opened;
    await expect(enroll(forged)).rejects.toEqual(refusedWith('TOKEN_NONCE_MISMATCH'));
    await expect(enroll(opened)).rejects.toEqual(refusedWith('TOKEN_REPLAYED'));
    expect((await enroll(await challenge())).certificateChain).toHaveLength(1);
  });

  it('when it is presented twice', async () => {
    await expect(enroll(await challenge(), { tokens: 2 })).rejects.toEqual(
      refusedWith('NAMESPACE_DUPLICATE'),
    );
  });

  it("when it is another participant's", async () => {
    const opened = await challenge();
    const who = { ...presenter('site-2'), privateKey: site.privateKey, publicKey: site.publicKey };
    await expect(enroll(opened, { who })).rejects.toEqual(refusedWith('TOKEN_ISSUER_MISMATCH'));
  });

  it('when it comes too late, or to no challenge', async () => {
    const opened = await challenge();
    await federation.clock.advance(30_001);
    await expect(enroll(opened)).rejects.toEqual(refusedWith('CHALLENGE_EXPIRED'));
    const none = { ...opened, challenge: undefined };
    await expect(enroll(none)).rejects.toEqual(refusedWith('CHALLENGE_UNKNOWN'));
  });

  it('for the moment, when an endorsement cannot be had', async () => {
    const refused = enroll(await challenge(), { needs: 'vcek/v1/none' });
    await expect(refused).rejects.toMatchObject({ code: expect.stringMatching(/^(ATTESTATION|SNP)/) });
    expect(registry.find('site-1')?.enrolledAt).toBeUndefined();
  });
});

describe('a request is refused', () => {
  it('when another key than the challenged one signs it', async () => {
    const opened = await challenge();
    await expect(enroll(opened, { requestKey: presenter('site-1') })).rejects.toEqual(
      refusedWith('CHALLENGE_UNKNOWN'),
    );
  });

  it('when it is malformed', async () => {
    const asked = await challenge();
    const malformed = call(client, methods.enroll, {
      challengeId: asked.challenge?.id ?? '',
      joinToken,
      certificateRequest: Buffer.from('nonsense'),
      tokens: [],
      tpmSecret: Buffer.alloc(0),
    });
    await expect(malformed).rejects.toEqual(refusedWith('CERTIFICATE_REQUEST_INVALID'));
  });

  it('when the key is no ECDSA P-256 key', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;
    for (const key of [publicKeyDer(rsa), publicKeyDer(p384), Buffer.from('x'), Buffer.alloc(0)]) {
      const refused = challenge(joinToken, { ...site, publicKey: key });
      await expect(refused).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
    }
  });

  it('when the name is no DNS label', async () => {
    const refused = challenge(joinToken, { ...site, identity: { ...site.identity, name: 'Site 1' } });
    await expect(refused).rejects.toEqual(refusedWith('PARTICIPANT_NAME_INVALID'));
  });

  it('when it brings too many tokens', async () => {
    await expect(enroll(await challenge(), { tokens: 17 })).rejects.toEqual(refusedWith('ARGUMENT_INVALID'));
  });
});

describe('what is stored', () => {
  it('holds no join token', async () => {
    const { rejoinToken } = await enroll(await challenge());
    const rows = await federation.store.transaction((tx) =>
      tx.selectFrom('join_tokens').selectAll().execute(),
    );
    expect(rows).toHaveLength(2);
    for (const secret of [joinToken, rejoinToken]) expect(JSON.stringify(rows)).not.toContain(secret);
  });
});

/** A key from SubjectPublicKeyInfo. */
function keyObject(publicKey: Uint8Array): ReturnType<typeof createPublicKey> {
  return createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' });
}
