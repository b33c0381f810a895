import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, mkdirSync, readFileSync, statSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TokenMaker, type TokenSource } from '@muster/agent/attestation/token-maker.js';
import { Enroller, type EnrollerOptions } from '@muster/agent/enrolment/enroller.js';
import type { DeviceKey, KeyProof } from '@muster/attester/attester.js';
import type { ServerTrust } from '@muster/agent/trust/server-trust.js';
import { JoinSecrets } from '@muster/agent/enrolment/join-secrets.js';
import { refusal } from '@muster/shared/errors.js';
import { openCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { openAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { useDirectory } from '../../support/directory.js';
import { FakeClock } from '../../support/fake-clock.js';
import { FakeMusterServer, trustDomain } from '../../support/fake-muster-server.js';
import { silentLogger } from '../../support/logger.js';
import { eventually } from '../../support/mailbox.js';
import { fakeSource } from '../../support/site.js';

const directory = useDirectory();
let server: FakeMusterServer;
let clock: FakeClock;

beforeEach(async () => {
  server = await FakeMusterServer.start();
  clock = new FakeClock(new Date());
  writeFileSync(join(directory.path, 'join-token'), 'join-secret\n');
});
afterEach(() => server.stop());

const rejoinFile = (): string => join(directory.path, 'state', 'rejoin-token');

/** Trusts one CA, whatever the server says of others. */
function trusting(trust: ServerTrust): EnrollerOptions['trust'] {
  return { establish: () => Promise.resolve(trust), follow: () => trust };
}

function enroller(source: TokenSource = fakeSource()): Enroller {
  return new Enroller({
    name: 'site-1',
    address: server.enrollmentAddress,
    secrets: new JoinSecrets(join(directory.path, 'state'), join(directory.path, 'join-token')),
    tokens: new TokenMaker([source], clock, silentLogger),
    trust: trusting({ trustBundle: server.bundle, trustDomain }),
    clock,
    random: () => 0.5,
    logger: silentLogger,
  });
}

const enrol = (source?: TokenSource): ReturnType<Enroller['enrol']> =>
  enroller(source).enrol(new AbortController().signal);

/** A source whose device has a key to prove. */
function provable(open: KeyProof['open']): TokenSource {
  const { attester, lifetimeMs } = fakeSource();
  const describe = async (): Promise<DeviceKey> => ({
    attestationKey: Buffer.from('ak'),
    endorsementCertificates: [Buffer.from('ek')],
  });
  return { attester: { ...attester, keyProof: { describe, open } }, lifetimeMs };
}

const refused = (code: string, message = ''): Error =>
  expect.objectContaining({ code, message: expect.stringContaining(message) }) as unknown as Error;

describe('enrolment', () => {
  it('answers the challenge with fresh evidence that is bound to the key of the certificate request', async () => {
    const nonce = Buffer.alloc(32, 9);
    const challenge = { id: 'c-9', nonce, namespaces: ['x-a'], deadline: new Date(Date.now() + 60_000) };
    server.answers.createChallenge = ({ joinToken, participant }) => {
      expect([joinToken, participant]).toEqual(['join-secret', 'site-1']);
      return { challenge };
    };
    const { enroll } = server.answers;
    server.answers.enroll = async (request) => {
      expect([request.challengeId, request.joinToken, request.tokens.length]).toEqual([
        'c-9',
        'join-secret',
        1,
      ]);
      const claims = openAttestationToken(request.tokens[0]?.jws ?? '');
      const key = openCertificateRequest(request.certificateRequest);
      expect(Buffer.from(claims.publicKey)).toEqual(Buffer.from(key));
      expect(Buffer.from(claims.nonce)).toEqual(nonce);
      return enroll(request);
    };
    const { credential } = await enrol();
    expect(credential.identity).toEqual({ trustDomain, role: 'site', name: 'site-1' });
    expect(statSync(rejoinFile()).mode & 0o777).toBe(0o600);
  });

  it("offers the device's key, and returns what the device finds in the credential", async () => {
    const credential = { credentialBlob: Buffer.from('blob'), encryptedSecret: Buffer.from('sealed') };
    server.answers.createChallenge = ({ tpmKey }) => {
      expect(tpmKey).toEqual({
        attestationKey: Buffer.from('ak'),
        endorsementCertificates: [Buffer.from('ek')],
      });
      return { tpmCredential: credential };
    };
    const secrets: string[] = [];
    const { enroll } = server.answers;
    server.answers.enroll = (request) => {
      secrets.push(request.tpmSecret.toString());
      return enroll(request);
    };
    await enrol(
      provable(async ({ blob, encryptedSecret }) => {
        expect([String(Buffer.from(blob)), String(Buffer.from(encryptedSecret))]).toEqual(['blob', 'sealed']);
        return Buffer.from('secret');
      }),
    );
    server.answers.createChallenge = () => ({});
    await enrol(provable(async () => Buffer.from('never asked')));
    expect(secrets).toEqual(['secret', '']);
  });

  it('ends when the device cannot open the credential', async () => {
    const credential = { credentialBlob: Buffer.alloc(1), encryptedSecret: Buffer.alloc(1) };
    server.answers.createChallenge = () => ({ tpmCredential: credential });
    const broken = provable(() => Promise.reject(refusal('ATTESTATION_GENERATION_FAILED')));
    await expect(enrol(broken)).rejects.toEqual(refused('ATTESTATION_GENERATION_FAILED'));
    expect(server.calls).toEqual(['createChallenge']);
  });

  it('uses the rejoin token before the join token', async () => {
    await enrol();
    const stored = readFileSync(rejoinFile(), 'utf8');
    let used = '';
    server.answers.createChallenge = ({ joinToken }) => {
      used = joinToken;
      return {};
    };
    await enrol();
    expect(used).toBe(stored);
    expect(readFileSync(rejoinFile(), 'utf8')).not.toBe(stored);
  });

  it('falls back to the join token when the rejoin token is not accepted', async () => {
    mkdirSync(join(directory.path, 'state'));
    writeFileSync(rejoinFile(), 'stale');
    const tried: string[] = [];
    server.answers.createChallenge = ({ joinToken }) => {
      tried.push(joinToken);
      if (joinToken === 'stale') throw refusal('JOIN_TOKEN_INVALID');
      return {};
    };
    await enrol();
    expect(tried).toEqual(['stale', 'join-secret']);
  });

  it('repeats the same request with the same key when its reply is lost', async () => {
    const requests: string[] = [];
    const { enroll } = server.answers;
    server.answers.enroll = async (request) => {
      requests.push(request.certificateRequest.toString('hex'));
      if (requests.length === 1) throw refusal('SERVER_UNREACHABLE');
      return enroll(request);
    };
    const enrolled = enrol();
    await clock.waitForTimers(1);
    await clock.advance(1_000);
    await enrolled;
    expect(new Set(requests).size).toBe(1);
    expect(server.calls).toEqual(['createChallenge', 'enroll', 'enroll']);
  });

  it('waits as long as a busy server asks, then tries again', async () => {
    let busy = true;
    server.answers.createChallenge = () => {
      if (busy) throw refusal('RATE_LIMITED');
      return {};
    };
    const enrolled = enrol();
    await clock.waitForTimers(1);
    busy = false;
    await clock.advance(500);
    await enrolled;
  });

  it.each([
    ['its challenge has expired', 'CHALLENGE_EXPIRED'],
    ['its fresh evidence is too old by the clock of the server', 'TOKEN_EXPIRED'],
    ['its fresh evidence is too new by the clock of the server', 'TOKEN_NOT_YET_VALID'],
  ] as const)('begins anew when %s', async (_what, code) => {
    let late = true;
    const { enroll } = server.answers;
    server.answers.enroll = (request) => {
      if (!late) return enroll(request);
      late = false;
      throw refusal(code);
    };
    const enrolled = enrol();
    await clock.waitForTimers(1);
    await clock.advance(500);
    await enrolled;
    expect(server.calls).toEqual(['createChallenge', 'enroll', 'createChallenge', 'enroll']);
  });

  it.each(['JOIN_TOKEN_INVALID', 'JOIN_TOKEN_EXPIRED', 'SNP_MEASUREMENT_UNKNOWN'] as const)(
    'ends at once on %s',
    async (code) => {
      server.answers.enroll = () => Promise.reject(refusal(code));
      await expect(enrol()).rejects.toThrow(refused(code));
      expect(existsSync(rejoinFile())).toBe(false);
    },
  );

  it('ends when evidence cannot be generated, and enrols nobody', async () => {
    const broken = fakeSource(() => Promise.reject(new Error('no device')));
    await expect(enrol(broken)).rejects.toThrow(
      refused('ATTESTATION_GENERATION_FAILED', 'failed to generate CC token'),
    );
    expect(server.calls).toEqual(['createChallenge']);
  });

  it('ends when a namespace is asked for that it has no attester of', async () => {
    const deadline = new Date(Date.now() + 60_000);
    const challenge = { id: 'c', nonce: Buffer.alloc(32), namespaces: ['x-a', 'x-tdx'], deadline };
    server.answers.createChallenge = () => ({ challenge });
    await expect(enrol()).rejects.toThrow(refused('ATTESTATION_GENERATION_FAILED', 'x-tdx'));
  });

  it.each<[string, Parameters<typeof Object.assign>[0], string]>([
    ['another trust domain', { trustDomain: 'other.example' }, 'SERVER_IDENTITY_MISMATCH'],
    ['another audience', { audience: 'spiffe://other.example' }, 'SERVER_IDENTITY_MISMATCH'],
    ['no challenge', { challenge: undefined }, 'SESSION_PROTOCOL'],
  ])('refuses a server that answers with %s', async (_what, answer: object, code) => {
    server.answers.createChallenge = () => answer;
    await expect(enrol()).rejects.toThrow(refused(code));
  });

  it.each<[string, () => Promise<Buffer[]>]>([
    [
      'for another name',
      async () => [await server.certify((await server.issue('site', 'x')).publicKey, 'site-2')],
    ],
    [
      'for another key',
      async () => [await server.certify((await server.issue('site', 'x')).publicKey, 'site-1')],
    ],
    ['that is none', () => Promise.resolve([Buffer.from('garbage')])],
    ['that is missing', () => Promise.resolve([])],
  ])('refuses a certificate %s', async (_what, make) => {
    server.answers.enroll = async () => ({
      certificateChain: await make(),
      trustBundle: [],
      rejoinToken: 'r',
    });
    await expect(enrol()).rejects.toThrow(refused('CERTIFICATE_UNUSABLE'));
    expect(existsSync(rejoinFile())).toBe(false);
  });

  it('sends its join token to no server of another CA', async () => {
    const stranger = await FakeMusterServer.start();
    const original = server;
    const trust = { trustBundle: original.bundle, trustDomain };
    const aborted = new AbortController();
    const enrolled = new Enroller({
      name: 'site-1',
      address: stranger.enrollmentAddress,
      secrets: new JoinSecrets(join(directory.path, 'state'), join(directory.path, 'join-token')),
      tokens: new TokenMaker([fakeSource()], clock, silentLogger),
      trust: trusting(trust),
      clock,
      random: () => 0.5,
      logger: silentLogger,
    }).enrol(aborted.signal);
    await eventually(() => clock.timers > 0);
    aborted.abort(refusal('SHUTTING_DOWN'));
    await expect(enrolled).rejects.toThrow(refused('SHUTTING_DOWN'));
    expect(stranger.calls).toEqual([]);
    stranger.stop();
  });

  it('uses up no join token when it could not keep the next one', async () => {
    rmSync(join(directory.path, 'state'), { recursive: true, force: true });
    writeFileSync(join(directory.path, 'state'), 'a file in the way');
    await expect(enrol()).rejects.toThrow(refused('FILE_UNWRITABLE', 'state_directory'));
    expect(server.calls).toEqual([]);
  });

  it('says when there is no join token', async () => {
    writeFileSync(join(directory.path, 'join-token'), '');
    await expect(enrol()).rejects.toThrow(refused('FILE_UNREADABLE', 'holds no join token'));
  });
});
