import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Activations } from '@muster/server/activation/activations.js';
import { readTpmKey, type OfferedTpmKey } from '@muster/server/activation/tpm-key.js';
import { Appraiser, type Verdict } from '@muster/server/attestation/appraisal.js';
import { Challenges } from '@muster/server/attestation/challenges.js';
import { auditLog } from '@muster/server/audit/log.js';
import { openSigner } from '@muster/server/ca/signer.js';
import { Enrollment, type Enrolled, type EnrollmentChallenge } from '@muster/server/enrollment/enrollment.js';
import { issueJoinToken } from '@muster/server/enrollment/issue-join-token.js';
import { certificateAuthentication } from '@muster/server/middleware/caller.js';
import { ParticipantRegistry } from '@muster/server/registry/participant-registry.js';
import { listAuditRecords } from '@muster/server/store/audit.js';
import { MusterError } from '@muster/shared/errors.js';
import { offlineDirectory } from '@muster/shared/endorsements/offline-directory.js';
import { endorsementSource } from '@muster/shared/endorsements/resolve.js';
import { createCertificateRequest } from '@muster/shared/pki/certificate-request.js';
import { policySchema } from '@muster/shared/policy/policy.js';
import { registryAudience, signAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { reportData } from '@muster/shared/tokens/binding.js';
import { silentLogger } from '../../support/logger.js';
import { createFederation, type TestFederation } from '../../support/members.js';
import { SimulatedTpm } from '../../support/simulated-tpm.js';
import { presenter, trustDomain, type Presenter } from '../../support/tokens.js';
import { ec384Key, tpmName, tpmPublic } from '../../support/tpm-builder.js';
import {
  ekCertificate,
  ekSerial,
  fingerprintOf,
  tpmAuthority,
  tpmCrl,
  type TpmAuthority,
} from '../../support/tpm-maker.js';

const hour = 3_600_000;
let federation: TestFederation;
let registry: ParticipantRegistry;
let activations: Activations;
let appraiser: Appraiser;
let enrollment: Enrollment;
let maker: TpmAuthority;
let tpm: SimulatedTpm;
let site: Presenter;
let joinToken: string;

beforeEach(async () => {
  maker = await tpmAuthority('Maker');
  tpm = new SimulatedTpm();
  federation = await createFederation(trustDomain);
  await serve('optional');
});
afterEach(() => federation.close());

/** Composes a server's enrolment, and invites the site. */
async function serve(revocation: 'required' | 'optional'): Promise<void> {
  const { store, clock, ca } = federation;
  const policy = policySchema.parse({
    servers: [{ name: 'central', exempt: true, because: 'this is about sites' }],
    sites: [{ name: 'site-*', require: ['x-tpm'] }],
    namespaces: { 'x-tpm': { activation: { ek_roots: [maker.fingerprint] }, revocation } },
  });
  registry = await ParticipantRegistry.load(store, { clock, policy });
  activations = await Activations.load({ store, ca, clock });
  appraiser = new Appraiser({
    policy,
    policyId: 'test',
    simulatedRoots: [],
    endorsements: endorsementSource([offlineDirectory(federation.directory)]),
    vouch: (participant) => activations.endorsementsOf(participant),
    trustBundle: () => ca.bundle,
    signer: await openSigner(federation.directory, { trustDomain, role: 'server', name: 'central' }),
    clock,
  });
  enrollment = new Enrollment({
    store,
    ca,
    registry,
    challenges: new Challenges(clock),
    activations,
    appraiser,
    audit: auditLog(clock),
    policy,
    challengeTimeoutMs: 30_000,
    certificateLifetimeMs: hour,
    logger: silentLogger,
    clock,
  });
  site = presenter('site-1');
  joinToken = await store.transaction(async (tx) => {
    await registry.invite(tx, 'site-1');
    return (await issueJoinToken(tx, 'join', 'site-1', hour, clock.now())).token;
  });
}

async function offer(changes: Partial<OfferedTpmKey> = {}): Promise<OfferedTpmKey> {
  const ek = await ekCertificate(tpm.endorsementPublicKey, maker);
  return { attestationKey: tpm.publicArea, endorsementCertificates: [ek, maker.certificate], ...changes };
}

async function challenge(changes: Partial<OfferedTpmKey> = {}): Promise<EnrollmentChallenge> {
  return enrollment.challenge(joinToken, 'site-1', site.publicKey, await offer(changes));
}

function token(nonce: Uint8Array, quoting = tpm): Promise<string> {
  const { identity, privateKey, publicKey } = site;
  return signAttestationToken({
    evidence: { namespace: 'x-tpm', evidence: quoting.quote(reportData({ nonce, publicKey, identity })) },
    identity,
    audience: registryAudience(trustDomain),
    nonce,
    issuedAt: federation.clock.now(),
    lifetimeMs: 600_000,
    privateKey,
  });
}

async function enroll(
  { id, nonce, credential }: EnrollmentChallenge,
  tpmSecret: Uint8Array = credential === undefined ? new Uint8Array() : tpm.open(credential),
): Promise<Enrolled> {
  const publicKey = createPublicKey(site.privateKey);
  return enrollment.enroll({
    joinToken,
    challengeId: id,
    certificateRequest: createCertificateRequest(site.privateKey, publicKey),
    tokens: [await token(nonce)],
    tpmSecret,
  });
}

/** Appraises fresh evidence, as in a session. */
async function refresh(quoting = tpm): Promise<Verdict> {
  const nonce = new Uint8Array(32).fill(3);
  const { identity, publicKey } = site;
  const { name, role } = identity;
  const tokens = [await token(nonce, quoting)];
  return appraiser.appraise({ participant: { name, role }, publicKey, tokens, nonce });
}

async function records(): Promise<{ decision: string; comment?: string; codes: string[] }[]> {
  const rows = await federation.store.transaction((tx) => listAuditRecords(tx, 1, 100));
  return rows.map(({ content }) => {
    const { decision, comment, reasons } = JSON.parse(content) as {
      decision: string;
      comment?: string;
      reasons: { code: string }[];
    };
    return { decision, ...(comment !== undefined && { comment }), codes: reasons.map(({ code }) => code) };
  });
}

const refusedWith = (code: string): object => expect.objectContaining({ code });

describe('a site whose TPM opens the credential', () => {
  it('enrols without anybody pinning its key, which is on record', async () => {
    await enroll(await challenge());
    expect(registry.standing('site-1')).toMatchObject({ admissible: true });
    const ek = fingerprintOf(tpm.endorsementPublicKey);
    const comment = `TPM key ${tpmName(tpm.publicArea)} beside endorsement key ${ek}`;
    expect(await records()).toEqual([{ decision: 'done', comment, codes: [] }]);
  });

  it('stays proven in its session, after a restart of the server, and until it enrols with another key', async () => {
    await enroll(await challenge());
    expect(await refresh()).toMatchObject({ outcome: 'accepted' });
    const { store, ca, clock } = federation;
    activations = await Activations.load({ store, ca, clock });
    expect(await refresh()).toMatchObject({ outcome: 'accepted' });
    const other = new SimulatedTpm({ ak: ec384Key });
    expect(await refresh(other)).toMatchObject({
      outcome: 'rejected',
      reasons: [{ code: 'TPM_AK_UNPROVEN' }],
    });
    await store.transaction((tx) => activations.keep(tx, 'site-1', undefined));
    expect(await refresh()).toMatchObject({ outcome: 'rejected' });
    const reloaded = await Activations.load({ store, ca, clock });
    expect(await reloaded.endorsementsOf('site-1')).toBeUndefined();
  });

  it('gives the others all that they need to judge for themselves', async () => {
    await enroll(await challenge());
    const verdict = await refresh();
    const endorsements = verdict.outcome === 'accepted' ? verdict.tokens[0]?.endorsements : undefined;
    const certificates = (endorsements?.certificates ?? []).map((der) => new X509Certificate(der));
    const [ak, ek, issuer] = certificates;
    expect(certificates).toHaveLength(3);
    expect(ak?.subjectAltName).toBe(`URI:spiffe://${trustDomain}/site/site-1`);
    expect(ak?.keyUsage).toEqual(['2.23.133.8.3']);
    expect(ek?.publicKey.equals(tpm.endorsementPublicKey)).toBe(true);
    expect(issuer?.raw.equals(maker.certificate)).toBe(true);
  });

  it('has a certificate for its key that is renewed long before it ends, and that nobody can log in with', async () => {
    await enroll(await challenge());
    const { store, clock, ca } = federation;
    const certificate = async (): Promise<X509Certificate> =>
      new X509Certificate((await activations.endorsementsOf('site-1'))?.certificates[0] ?? '');
    const first = await certificate();
    await clock.advance(23 * hour);
    expect((await certificate()).serialNumber).toBe(first.serialNumber);
    await clock.advance(2 * hour);
    expect((await certificate()).serialNumber).not.toBe(first.serialNumber);
    const authenticate = certificateAuthentication(store, ca.trustDomain, clock);
    await expect(authenticate({ raw: (await certificate()).raw } as never)).rejects.toEqual(
      refusedWith('UNAUTHENTICATED'),
    );
  });

  it('is forgotten with the participant', async () => {
    await enroll(await challenge());
    await federation.store.transaction((tx) => registry.remove(tx, 'site-1'));
    activations.forget('site-1');
    expect(await activations.endorsementsOf('site-1')).toBeUndefined();
    const { store, ca, clock } = federation;
    const reloaded = await Activations.load({ store, ca, clock });
    expect(await reloaded.endorsementsOf('site-1')).toBeUndefined();
  });
});

describe('a key is not proven', () => {
  it('without the secret, or with another', async () => {
    for (const secret of [new Uint8Array(), new Uint8Array(32), new Uint8Array(1 << 16)]) {
      await expect(enroll(await challenge(), secret)).rejects.toEqual(refusedWith('TPM_CREDENTIAL'));
    }
    expect((await records()).map(({ codes }) => codes)).toEqual([
      ['TPM_CREDENTIAL'],
      ['TPM_CREDENTIAL'],
      ['TPM_CREDENTIAL'],
    ]);
    expect(registry.find('site-1')?.enrolledAt).toBeUndefined();
  });

  it('with the secret of another challenge, of the same key', async () => {
    const [first, second] = [await challenge(), await challenge()];
    const secret = first.credential && tpm.open(first.credential);
    await expect(enroll(second, secret)).rejects.toEqual(refusedWith('TPM_CREDENTIAL'));
    await expect(enroll(second)).rejects.toEqual(refusedWith('TOKEN_REPLAYED'));
    await enroll(first);
  });

  it('after the time of the challenge', async () => {
    const opened = await challenge();
    await federation.clock.advance(30_001);
    await expect(enroll(opened)).rejects.toEqual(refusedWith('CHALLENGE_EXPIRED'));
  });

  it('when the TPM with the endorsement key holds another attestation key', async () => {
    const { credential } = await challenge({ attestationKey: tpmPublic(ec384Key) });
    expect(() => credential && tpm.open(credential)).toThrow('integrity');
  });

  it('when the credential was opened for a key other than the one that quotes', async () => {
    const opened = await challenge({ attestationKey: tpmPublic(ec384Key) });
    const honest = new SimulatedTpm({ ek: tpm.endorsementKey, ak: ec384Key });
    const secret = opened.credential && honest.open(opened.credential);
    await expect(enroll(opened, secret)).rejects.toEqual(refusedWith('TPM_AK_UNPROVEN'));
  });

  it('when none is offered', async () => {
    const opened = await enrollment.challenge(joinToken, 'site-1', site.publicKey);
    expect(opened.credential).toBeUndefined();
    await expect(enroll(opened)).rejects.toEqual(refusedWith('TPM_AK_UNPROVEN'));
  });

  it('when its TPM is of a maker that the policy does not trust, which is decided after the credential', async () => {
    const other = await tpmAuthority('Software maker');
    const ek = await ekCertificate(tpm.endorsementPublicKey, other);
    const opened = await challenge({ endorsementCertificates: [ek, other.certificate] });
    await expect(enroll(opened)).rejects.toEqual(refusedWith('TPM_EK_ROOT_UNTRUSTED'));
  });
});

describe('an offer is refused', () => {
  const area = new SimulatedTpm().publicArea;
  it.each<readonly [string, Uint8Array, string]>([
    ['a key that can leave the TPM', tpmPublic(ec384Key, 0x0005_0070), 'TPM_AK_ATTRIBUTES'],
    ['a key that signs anything', tpmPublic(ec384Key, 0x0004_0072), 'TPM_AK_ATTRIBUTES'],
    ['a key that decrypts as well', tpmPublic(ec384Key, 0x0007_0072), 'TPM_AK_ATTRIBUTES'],
    ['a key that is too weak', tpmPublic(generateKeyPairSync('rsa', { modulusLength: 1024 })), 'TPM_AK_WEAK'],
    ['no public area', new Uint8Array(), 'TPM_AK_UNREADABLE'],
    ['something behind it', Buffer.concat([area, Buffer.of(0)]), 'TPM_AK_UNREADABLE'],
    ['more than a public area takes', Buffer.concat([area, Buffer.alloc(1024)]), 'TPM_AK_UNREADABLE'],
  ])('%s', async (_, attestationKey, code) => {
    await expect(challenge({ attestationKey })).rejects.toEqual(refusedWith(code));
    expect((await records()).at(-1)).toEqual({ decision: 'refused', codes: [code] });
  });

  it('without a certificate of an endorsement key that credentials can be made for', async () => {
    const { publicKey: rsa1024 } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const { publicKey: rsa3072 } = generateKeyPairSync('rsa', { modulusLength: 3072 });
    const { publicKey: p384 } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const unsupported = await Promise.all(
      [rsa1024, rsa3072, p384].map(async (key) => [await ekCertificate(key, maker)]),
    );
    const fit = await ekCertificate(tpm.endorsementPublicKey, maker);
    const tooMany = Array.from({ length: 9 }, () => fit);
    const tooLong = [fit, new Uint8Array(8193)];
    const jwk = tpm.endorsementPublicKey.export({ format: 'jwk' });
    const even = Buffer.from(jwk.n ?? '', 'base64url').fill(0, 255);
    const noKey = createPublicKey({ key: { ...jwk, n: even.toString('base64url') }, format: 'jwk' });
    unsupported.push([await ekCertificate(noKey, maker)]);
    for (const certificates of [...unsupported, [], [Buffer.from('junk')], tooMany, tooLong]) {
      const refused = challenge({ endorsementCertificates: certificates });
      await expect(refused).rejects.toEqual(refusedWith('TPM_EK_UNSUPPORTED'));
    }
  });
});

it('whatever is offered is a key or refused with a reason', () => {
  const offers = fc.record({
    attestationKey: altered(tpm.publicArea),
    endorsementCertificates: altered(maker.certificate).map((der) => [der]),
  });
  fc.assert(
    fc.property(offers, (offered) => {
      try {
        activations.begin({ id: 'any' }, 'site-1', readTpmKey(offered));
      } catch (error) {
        expect(error).toBeInstanceOf(MusterError);
      }
    }),
  );
});

/** Bytes with some of them changed, or any at all. */
function altered(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  const changes = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 3 });
  const changed = changes.map((list) => {
    const copy = Uint8Array.from(bytes);
    for (const [at, value] of list) copy[at] = value;
    return copy;
  });
  return fc.oneof({ weight: 9, arbitrary: changed }, fc.uint8Array({ maxLength: 64 }));
}

it("finds the maker's revocation lists in the offline directory", async () => {
  await serve('required');
  await expect(enroll(await challenge())).rejects.toEqual(refusedWith('TPM_EK_CRL_MISSING'));
  const folder = join(federation.directory, 'tpm', 'crl');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, maker.fingerprint), await tpmCrl(maker, { revoked: [ekSerial] }));
  await expect(enroll(await challenge())).rejects.toEqual(refusedWith('TPM_EK_REVOKED'));
  writeFileSync(join(folder, maker.fingerprint), await tpmCrl(maker));
  await enroll(await challenge());
  const verdict = await refresh();
  expect(verdict).toMatchObject({
    outcome: 'accepted',
    tokens: [{ endorsements: { crls: [expect.anything()] } }],
  });
});

it('a server waits for a bounded number of secrets, each of them once', async () => {
  const key = readTpmKey(await offer());
  const begun = Array.from({ length: 9 }, (_, index) => ({
    id: `${index}`,
    credential: activations.begin({ id: `${index}` }, 'site-1', key),
  }));
  const finish = (id: number): unknown => {
    const { credential } = begun[id] ?? {};
    return activations.finish('site-1', `${id}`, (credential && tpm.open(credential)) ?? new Uint8Array());
  };
  expect(finish(0)).toBeUndefined();
  expect(finish(1)).toMatchObject({ ekFingerprint: fingerprintOf(tpm.endorsementPublicKey) });
  expect(finish(1)).toBeUndefined();
  expect(activations.finish('site-2', '8', new Uint8Array())).toBeUndefined();
  expect(finish(8)).toBeDefined();
});

it('a credential for an ECC endorsement key is opened as well', async () => {
  tpm = new SimulatedTpm({ ek: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey });
  await enroll(await challenge());
  expect(registry.standing('site-1')).toMatchObject({ admissible: true });
});
