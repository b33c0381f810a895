import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CertificateKeeper } from '@muster/agent/enrolment/certificate-keeper.js';
import { generateKey, readCredential } from '@muster/agent/enrolment/credential.js';
import type { Enrolment } from '@muster/agent/enrolment/enroller.js';
import { refusal } from '@muster/shared/errors.js';
import { openCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { toPem } from '@muster/shared/pki/certificate.js';
import { trustBundleDigest } from '@muster/shared/pki/trust-bundle.js';
import { FakeClock } from '../../support/fake-clock.js';
import { FakeMusterServer, trustDomain } from '../../support/fake-muster-server.js';
import { silentLogger } from '../../support/logger.js';
import { eventually } from '../../support/mailbox.js';

const hourMs = 3_600_000;
let server: FakeMusterServer;
let clock: FakeClock;
let keeper: CertificateKeeper | undefined;
let seen: string[];

beforeEach(async () => {
  server = await FakeMusterServer.start();
  clock = new FakeClock(new Date());
  seen = [];
  const { renewCertificate } = server.answers;
  server.answers.renewCertificate = (request) => {
    seen.push('renewal');
    return renewCertificate(request);
  };
});
afterEach(() => {
  keeper?.close();
  server.stop();
});

async function enrolment(): Promise<Enrolment> {
  const key = generateKey();
  const identity = { trustDomain, role: 'site', name: 'site-1' } as const;
  const chain = [await server.certify(key.spki, 'site-1')];
  return {
    credential: readCredential(chain, key, identity),
    trust: { trustBundle: server.bundle, trustDomain },
  };
}

async function keep(random: number, enrol: () => Promise<Enrolment> = enrolment): Promise<CertificateKeeper> {
  keeper = new CertificateKeeper({
    enrolment: await enrolment(),
    address: server.sessionAddress,
    enrol: () => {
      seen.push('enrolment');
      return enrol();
    },
    followTrust: (certificates, domain) => {
      seen.push('trust');
      return { trustBundle: toPem(certificates), trustDomain: domain };
    },
    onChange: () => seen.push('changed'),
    onFailure: (error) => seen.push(error instanceof Error ? error.message : 'failure'),
    clock,
    random: () => random,
    logger: silentLogger,
  });
  return keeper;
}

describe('the certificate of an agent', () => {
  it.each([
    [0, 0.45 * hourMs],
    [1, 0.55 * hourMs],
  ])('is renewed at half its life, with jitter: %d', async (random, dueMs) => {
    const kept = await keep(random);
    const { key } = kept.credential;
    await clock.advance(dueMs - 5_000);
    expect(seen).toEqual([]);
    await clock.advance(5_000);
    await eventually(() => seen.includes('changed'));
    expect(seen).toEqual(['renewal', 'changed']);
    expect(kept.credential.key).toBe(key);
  });

  it('is renewed again after a delay when the server cannot be reached', async () => {
    let down = true;
    const { renewCertificate } = server.answers;
    server.answers.renewCertificate = (request) => {
      const answer = renewCertificate(request);
      return down ? Promise.reject(refusal('STORE_UNAVAILABLE')) : answer;
    };
    await keep(0.5);
    await clock.advance(0.5 * hourMs);
    await eventually(() => seen.length === 1);
    await clock.waitForTimers(1);
    down = false;
    await clock.advance(1_000);
    await eventually(() => seen.includes('changed'));
    expect(seen).toEqual(['renewal', 'renewal', 'changed']);
  });

  it('is had by enrolling again when it is not accepted any more', async () => {
    server.answers.renewCertificate = () => Promise.reject(refusal('CERTIFICATE_REVOKED'));
    const kept = await keep(0.5);
    const { key } = kept.credential;
    await clock.advance(0.5 * hourMs);
    await eventually(() => seen.includes('changed'));
    expect(seen).toEqual(['enrolment', 'changed']);
    expect(kept.credential.key).not.toBe(key);
  });

  it('is not shown after it has expired', async () => {
    const kept = await keep(0.5);
    clock.step(2 * hourMs);
    expect(() => kept.channelCredentials()).toThrow(refusal('CERTIFICATE_EXPIRED').message);
  });

  it('of the future explains why the server cannot be reached, and nothing else', async () => {
    const kept = await keep(0.5);
    const unreachable = refusal('SERVER_UNREACHABLE');
    expect(kept.explain(unreachable)).toBe(unreachable);
    clock.step(-2 * hourMs);
    expect(kept.explain(unreachable).code).toBe('CERTIFICATE_NOT_YET_VALID');
    expect(kept.explain(refusal('SESSION_FENCED')).code).toBe('SESSION_FENCED');
  });

  it('cannot be kept when enrolling again is refused', async () => {
    server.answers.renewCertificate = () => Promise.reject(refusal('CERTIFICATE_REVOKED'));
    await keep(0.5, () => Promise.reject(refusal('JOIN_TOKEN_INVALID')));
    await clock.advance(0.5 * hourMs);
    await eventually(() => seen.length === 2);
    expect(seen).toEqual(['enrolment', refusal('JOIN_TOKEN_INVALID').message]);
  });

  it('is asked for once when two want it at once', async () => {
    const kept = await keep(0.5);
    await Promise.all([kept.renew(), kept.renew()]);
    expect(seen).toEqual(['renewal', 'changed']);
  });

  it('is renewed for the same key when the reply was lost', async () => {
    const { renewCertificate } = server.answers;
    const keys: string[] = [];
    server.answers.renewCertificate = async (request) => {
      keys.push(Buffer.from(openCertificateRequest(request.certificateRequest)).toString('hex'));
      const answer = await renewCertificate(request);
      return keys.length === 1 ? Promise.reject(refusal('SERVER_UNREACHABLE')) : answer;
    };
    const kept = await keep(0.5);
    await clock.advance(0.5 * hourMs);
    await eventually(() => seen.length === 1);
    await clock.waitForTimers(1);
    await clock.advance(30_000);
    await eventually(() => seen.includes('changed'));
    expect(keys).toHaveLength(2);
    expect(new Set(keys)).toEqual(new Set([Buffer.from(kept.credential.key.spki).toString('hex')]));
  });
});

describe('the CAs that an agent follows', () => {
  const rootOf = ({ bundle }: FakeMusterServer): Buffer => new X509Certificate(bundle).raw;
  let next: FakeMusterServer;
  beforeEach(async () => {
    next = await FakeMusterServer.start();
  });
  afterEach(() => next.stop());

  it('are used for the next connection; a certificate of the one that issues is left alone', async () => {
    const kept = await keep(0.5);
    kept.follow({ certificates: [rootOf(server), rootOf(next)], issuerHash: server.caHash });
    expect(kept.trustDigest.toString('hex')).toBe(trustBundleDigest([rootOf(next), rootOf(server)]));
    await clock.advance(60_000);
    expect(seen).toEqual(['trust']);
    await kept.renew();
  });

  it('make it ask the one that issues for a certificate, within 30 seconds', async () => {
    const kept = await keep(1);
    kept.follow({ certificates: [rootOf(server), rootOf(next)], issuerHash: next.caHash });
    await clock.advance(29_999);
    expect(seen).toEqual(['trust']);
    await clock.advance(1);
    await eventually(() => seen.includes('changed'));
    expect(seen).toEqual(['trust', 'renewal', 'changed']);
  });

  it('end its trust in a server whose CA is not among them', async () => {
    const kept = await keep(0.5);
    kept.follow({ certificates: [rootOf(next)], issuerHash: next.caHash });
    await expect(kept.renew()).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });

  it('are those of a renewal, too', async () => {
    const { renewCertificate } = server.answers;
    server.answers.renewCertificate = async (request) => ({
      ...(await renewCertificate(request)),
      trustBundle: [rootOf(server), rootOf(next)],
    });
    const kept = await keep(0.5);
    await kept.renew();
    expect(seen).toEqual(['renewal', 'trust', 'changed']);
    expect(kept.trustDigest.toString('hex')).toBe(trustBundleDigest([rootOf(server), rootOf(next)]));
  });
});
