import { generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { issueKeyCertificate } from '@muster/server/ca/issue-key-certificate.js';
import type { Issuer } from '@muster/server/ca/issue.js';
import type { Appraisal, SimulatedRoot } from '@muster/shared/evidence/appraisal.js';
import { tpmVerifier } from '@muster/shared/evidence/x-tpm/verifier.js';
import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import { x509 } from '@muster/shared/pki/x509.js';
import { createFederation, type TestFederation } from '../../../support/members.js';
import { verdict } from '../../../support/snp-case.js';
import { ecKey, rsaKey, type TpmKey } from '../../../support/tpm-builder.js';
import {
  ekCertificate,
  ekSerial,
  fingerprintOf,
  tpmAuthority,
  tpmCrl,
  type TpmAuthority,
  type TpmCertificateOptions,
} from '../../../support/tpm-maker.js';
import { appraiseTpm } from './tpm-case.js';

const participant = 'spiffe://federation.example/site/site-1';
const { publicKey: ekKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ekFingerprint = fingerprintOf(ekKey);
const critical = new x509.Extension('1.2.3.4', true, Buffer.of(0x05, 0x00));

let federation: TestFederation;
let root: TpmAuthority;
let maker: TpmAuthority;
let ek: Uint8Array;
let akCertificate: Uint8Array;
let crls: readonly Uint8Array[];
let at: Date;

beforeAll(async () => {
  federation = await createFederation();
  at = federation.clock.now();
  root = await tpmAuthority('Maker root', undefined, { type: 'rsa' });
  maker = await tpmAuthority('Maker CA', root);
  ek = await ekCertificate(ekKey, maker);
  crls = [await tpmCrl(root), await tpmCrl(maker)];
  akCertificate = await certifyAk();
});
afterAll(() => federation.close());

async function certifyAk(
  { publicKey }: Pick<TpmKey, 'publicKey'> = ecKey,
  ca = federation.ca,
  name = 'site-1',
  ekOf = ekFingerprint,
): Promise<Uint8Array> {
  const subject = { participant: name, publicKey: publicKeyDer(publicKey), ekFingerprint: ekOf };
  return (await ca.certifyKey(subject, 3_600_000)).der;
}

interface Changes {
  readonly key?: TpmKey;
  readonly ak?: Uint8Array;
  readonly ek?: Uint8Array;
  readonly issuers?: readonly Uint8Array[];
  readonly crls?: readonly Uint8Array[];
  readonly activation?: Readonly<Record<string, unknown>>;
  readonly revocation?: 'optional';
  readonly at?: Date;
  readonly roots?: readonly Uint8Array[];
  readonly simulatedRoots?: readonly SimulatedRoot[];
  readonly withoutFederation?: boolean;
}

function appraise(changes: Changes = {}): Appraisal {
  const { activation = { ek_roots: [root.fingerprint] }, revocation, simulatedRoots = [] } = changes;
  const issuers = changes.issuers ?? [maker.certificate, root.certificate];
  return appraiseTpm({
    key: changes.key ?? ecKey,
    pinned: [],
    policy: { activation, ...(revocation !== undefined && { revocation }) },
    input: {
      at: changes.at ?? at,
      simulatedRoots,
      endorsements: {
        certificates: [changes.ak ?? akCertificate, changes.ek ?? ek, ...issuers],
        crls: changes.crls ?? crls,
      },
      ...(changes.withoutFederation !== true && {
        federation: { participant, roots: changes.roots ?? federation.ca.bundle },
      }),
    },
  });
}

const refused = (code: string): string => `contraindicated ${code}`;
const later = (years: number): Date => new Date(at.getTime() + years * 366 * 86_400_000);

describe('a key that was activated', () => {
  it('is proven, and the claims tell the TPM', () => {
    expect(appraise()).toMatchObject({
      status: 'affirming',
      reasons: [],
      simulated: false,
      claims: {
        ak_proven: true,
        ek_fingerprint: ekFingerprint,
        ek_root: root.fingerprint,
        tpm_manufacturer: 'id:4D555354',
        tpm_model: 'test',
        tpm_version: 'id:00010002',
      },
    });
    expect(appraise().unchecked).not.toContain('revocation');
  });

  it('is proven for RSA keys, a maker without intermediates, and an ECC endorsement key', async () => {
    expect(verdict(appraise({ key: rsaKey, ak: await certifyAk(rsaKey) }))).toBe('affirming');
    const direct = await ekCertificate(ekKey, root);
    expect(verdict(appraise({ ek: direct, issuers: [root.certificate] }))).toBe('affirming');
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const ak = await certifyAk(ecKey, federation.ca, 'site-1', fingerprintOf(publicKey));
    expect(verdict(appraise({ ak, ek: await ekCertificate(publicKey, maker) }))).toBe('affirming');
  });

  it('is proven below a CA that is pinned itself, whatever is above', () => {
    const activation = { ek_roots: [maker.fingerprint.toUpperCase()] };
    expect(verdict(appraise({ activation, issuers: [maker.certificate] }))).toBe('affirming');
  });

  it('is proven while one unfit certificate beside the fit ones is ignored', async () => {
    const namesake = await tpmAuthority('Maker CA', root);
    const stale = await ekCertificate(ekKey, maker, { notAfter: new Date('2021-01-01') });
    const issuers = [namesake.certificate, stale, maker.certificate, root.certificate, Buffer.from('junk')];
    expect(verdict(appraise({ issuers }))).toBe('affirming');
  });

  it('says so where its maker is a simulated root', () => {
    const simulatedRoots = [{ namespace: 'x-tpm', fingerprint: root.fingerprint }];
    expect(appraise({ activation: {}, simulatedRoots })).toMatchObject({
      status: 'affirming',
      simulated: true,
    });
    const other = [{ namespace: 'x-snp', fingerprint: root.fingerprint }];
    expect(verdict(appraise({ activation: {}, simulatedRoots: other }))).toBe(
      refused('TPM_EK_ROOT_UNTRUSTED'),
    );
  });
});

describe("the federation's word", () => {
  it('counts only where the policy says so, and a federation is known', () => {
    const without = appraiseTpm({ key: ecKey, pinned: [] });
    expect(verdict(without)).toBe(refused('TPM_AK_UNPROVEN'));
    expect(verdict(appraise({ withoutFederation: true }))).toBe(refused('TPM_AK_UNPROVEN'));
  });

  it('is about one key', async () => {
    expect(verdict(appraise({ ak: await certifyAk(rsaKey) }))).toBe(refused('TPM_AK_UNPROVEN'));
    expect(verdict(appraise({ ak: Buffer.from('junk') }))).toBe(refused('TPM_AK_UNPROVEN'));
  });

  it("is that of the federation's own CAs", async () => {
    const other = await createFederation();
    try {
      const foreign = refused('TPM_AK_CERTIFICATE_ISSUER');
      expect(verdict(appraise({ ak: await certifyAk(ecKey, other.ca) }))).toBe(foreign);
      expect(verdict(appraise({ roots: other.ca.bundle }))).toBe(foreign);
      expect(verdict(appraise({ roots: [] }))).toBe(foreign);
      expect(verdict(appraise({ roots: [...other.ca.bundle, ...federation.ca.bundle] }))).toBe('affirming');
    } finally {
      await other.close();
    }
  });

  it('is about one participant', async () => {
    const ak = await certifyAk(ecKey, federation.ca, 'site-2');
    expect(verdict(appraise({ ak }))).toBe(refused('TPM_AK_CERTIFICATE_PARTICIPANT'));
  });

  it('is of this time', () => {
    const ended = refused('TPM_AK_CERTIFICATE_EXPIRED');
    expect(verdict(appraise({ at: new Date(at.getTime() + 3_601_000) }))).toBe(ended);
    expect(verdict(appraise({ at: new Date(at.getTime() - 600_000) }))).toBe(ended);
  });

  it('is not a certificate for anything else', async () => {
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { store, ca } = federation;
    const { chain } = await store.transaction((tx) =>
      ca.issue(tx, { role: 'site', name: 'site-1' }, publicKeyDer(key.publicKey), 3_600_000),
    );
    expect(verdict(appraise({ key, ak: chain[0] as Uint8Array }))).toBe(refused('TPM_AK_UNPROVEN'));
    const issuer = ca.active as unknown as Issuer;
    const subject = {
      identity: { trustDomain: ca.trustDomain, role: 'site', name: 'site-1' } as const,
      ekFingerprint,
    };
    const dates = { issuedAt: at, notAfter: new Date(at.getTime() + 3_600_000) };
    const own = await issueKeyCertificate(
      issuer,
      { ...subject, publicKey: publicKeyDer(ecKey.publicKey) },
      dates,
    );
    expect(verdict(appraise({ ak: own }))).toBe('affirming');
    const altered = async (change: Parameters<typeof alterAk>[2]): Promise<string> =>
      verdict(appraise({ ak: await alterAk(own, issuer.key, change) }));
    expect(await altered({})).toBe('affirming');
    expect(await altered({ more: [critical] })).toBe(refused('TPM_AK_CERTIFICATE_CONSTRAINTS'));
    const ofCa = [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ];
    expect(await altered({ more: ofCa })).toBe(refused('TPM_AK_CERTIFICATE_CONSTRAINTS'));
    const purpose = new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]);
    expect(await altered({ more: [purpose] })).toBe(refused('TPM_AK_UNPROVEN'));
    expect(await altered({ subject: 'CN=site-1' })).toBe(refused('TPM_AK_UNPROVEN'));
  });
});

/** The certificate of an attestation key with other extensions or another subject, signed by the same CA. */
async function alterAk(
  der: Uint8Array,
  caKey: KeyObject,
  { more = [], subject }: { readonly more?: readonly x509.Extension[]; readonly subject?: string },
): Promise<Uint8Array> {
  const original = new x509.X509Certificate(Uint8Array.from(der));
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const pkcs8 = caKey.export({ format: 'der', type: 'pkcs8' });
  const altered = await x509.X509CertificateGenerator.create({
    serialNumber: original.serialNumber,
    subject: subject ?? original.subjectName.toJSON(),
    issuer: original.issuerName.toJSON(),
    notBefore: original.notBefore,
    notAfter: original.notAfter,
    publicKey: original.publicKey,
    signingKey: await crypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']),
    signingAlgorithm: algorithm,
    extensions: [
      ...original.extensions.filter(({ type }) => !more.some((other) => other.type === type)),
      ...more,
    ],
  });
  return new Uint8Array(altered.rawData);
}

describe('the endorsement key', () => {
  it('must be one of those that the policy allows, where it lists any', () => {
    const allow = (eks: readonly string[]): string =>
      verdict(appraise({ activation: { ek_roots: [root.fingerprint], eks } }));
    expect(allow([ekFingerprint])).toBe('affirming');
    expect(allow(['00'.repeat(32)])).toBe(refused('TPM_EK_NOT_ALLOWED'));
  });

  it('needs the certificate of exactly that key', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const other = await ekCertificate(publicKey, maker);
    expect(verdict(appraise({ ek: other }))).toBe(refused('TPM_EK_CERTIFICATE_MISSING'));
  });

  const { KeyUsageFlags: usage } = x509;
  it.each<readonly [string, TpmCertificateOptions]>([
    ['another purpose', { purposes: ['2.23.133.8.3'] }],
    ['no purpose', { purposes: [] }],
    ['a key that signs', { usages: usage.digitalSignature }],
    ['a key that certifies', { ca: true, usages: usage.keyEncipherment | usage.keyCertSign }],
    ['an unknown critical extension', { extensions: [critical] }],
  ])('has no fit certificate: %s', async (_, options) => {
    const unfit = await ekCertificate(ekKey, maker, options);
    expect(verdict(appraise({ ek: unfit }))).toBe(refused('TPM_EK_CERTIFICATE_CONSTRAINTS'));
  });

  it.each<readonly [string, TpmCertificateOptions]>([
    ['over', { notAfter: new Date('2021-01-01') }],
    ['to come', { notBefore: new Date('2039-01-01') }],
  ])('has a certificate whose time is %s', async (_, options) => {
    const outOfTime = await ekCertificate(ekKey, maker, options);
    expect(verdict(appraise({ ek: outOfTime }))).toBe(refused('TPM_EK_CERTIFICATE_EXPIRED'));
  });

  it('has a certificate that was signed by another key, by SHA-1, or not by its issuer', async () => {
    const { privateKey: signingKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const forged = await ekCertificate(ekKey, maker, { signingKey });
    expect(verdict(appraise({ ek: forged }))).toBe(refused('TPM_EK_CHAIN_SIGNATURE'));
    const weak = await ekCertificate(ekKey, maker, { hash: 'SHA-1' });
    expect(verdict(appraise({ ek: weak }))).toBe(refused('TPM_EK_CHAIN_SIGNATURE'));
    const orphan = await ekCertificate(ekKey, maker, { issuerName: 'Nobody' });
    expect(verdict(appraise({ ek: orphan }))).toBe(refused('TPM_EK_CHAIN_BROKEN'));
  });
});

describe("the maker's CAs", () => {
  it('must be at hand up to a trusted one', () => {
    expect(verdict(appraise({ issuers: [maker.certificate] }))).toBe(refused('TPM_EK_CHAIN_BROKEN'));
    expect(verdict(appraise({ issuers: [] }))).toBe(refused('TPM_EK_CHAIN_BROKEN'));
    const activation = { ek_roots: ['00'.repeat(32)] };
    expect(verdict(appraise({ activation }))).toBe(refused('TPM_EK_ROOT_UNTRUSTED'));
  });

  it('are not those of somebody who only bears the name', async () => {
    const impostorRoot = await tpmAuthority('Maker root');
    const impostor = await tpmAuthority('Maker CA', impostorRoot);
    const forged = await ekCertificate(ekKey, impostor);
    const issuers = [impostor.certificate, impostorRoot.certificate];
    expect(verdict(appraise({ ek: forged, issuers }))).toBe(refused('TPM_EK_ROOT_UNTRUSTED'));
    expect(verdict(appraise({ ek: forged }))).toBe(refused('TPM_EK_CHAIN_SIGNATURE'));
  });

  it('may issue certificates, also at this depth and at this time', async () => {
    const unfit = async (options: TpmCertificateOptions, above = root): Promise<string> => {
      const authority = await tpmAuthority('Maker CA', above, options);
      const issuers = [authority.certificate, above.certificate, root.certificate];
      const below = await ekCertificate(ekKey, authority);
      return verdict(appraise({ ek: below, issuers, crls: [], revocation: 'optional' }));
    };
    expect(await unfit({})).toBe('affirming');
    const constraints = refused('TPM_EK_CERTIFICATE_CONSTRAINTS');
    expect(await unfit({ ca: false })).toBe(constraints);
    expect(await unfit({ usages: x509.KeyUsageFlags.cRLSign })).toBe(constraints);
    expect(await unfit({ extensions: [critical] })).toBe(constraints);
    expect(await unfit({ notAfter: new Date('2021-01-01') })).toBe(refused('TPM_EK_CERTIFICATE_EXPIRED'));
    const short = await tpmAuthority('Short', root, { pathLength: 0 });
    expect(await unfit({}, short)).toBe(constraints);
    const long = await tpmAuthority('Long', root, { pathLength: 1 });
    expect(await unfit({}, long)).toBe('affirming');
  });

  it('end: a chain without end is not followed', async () => {
    const loop = await tpmAuthority('Loop A', undefined, { issuerName: 'Loop B' });
    const back = await tpmAuthority('Loop B', loop);
    const forward = await tpmAuthority('Loop A', back);
    const issuers = [loop, back, forward].map(({ certificate }) => certificate);
    expect(verdict(appraise({ ek: await ekCertificate(ekKey, forward), issuers }))).toMatch(
      /TPM_EK_CHAIN_(?:BROKEN|SIGNATURE)/,
    );
  });
});

describe("the maker's revocation lists", () => {
  it('are required unless the policy says otherwise', async () => {
    expect(verdict(appraise({ crls: [] }))).toBe(refused('TPM_EK_CRL_MISSING TPM_EK_CRL_MISSING'));
    const [ofRoot] = crls;
    expect(verdict(appraise({ crls: [ofRoot as Uint8Array] }))).toBe(refused('TPM_EK_CRL_MISSING'));
    const relaxed = appraise({ crls: [Buffer.from('junk')], revocation: 'optional' });
    expect(verdict(relaxed)).toBe('affirming');
    expect(relaxed.unchecked).toContain('revocation');
  });

  it('count against the endorsement key and the CAs above it, even where none is required', async () => {
    const revoked = refused('TPM_EK_REVOKED');
    const ofMaker = [await tpmCrl(root), await tpmCrl(maker, { revoked: [ekSerial] })];
    expect(verdict(appraise({ crls: ofMaker }))).toBe(revoked);
    expect(verdict(appraise({ crls: ofMaker, revocation: 'optional' }))).toBe(revoked);
    const { serialNumber } = new X509Certificate(maker.certificate);
    const ofRoot = [await tpmCrl(root, { revoked: [serialNumber.toLowerCase()] }), await tpmCrl(maker)];
    expect(verdict(appraise({ crls: ofRoot }))).toBe(revoked);
  });

  it('must be signed by the issuer, of this time, and understood', async () => {
    const withCrl = async (options: Parameters<typeof tpmCrl>[1]): Promise<string> =>
      verdict(appraise({ crls: [await tpmCrl(root), await tpmCrl(maker, options)] }));
    const { privateKey: signingKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(await withCrl({ signingKey })).toBe(refused('TPM_EK_CRL_SIGNATURE'));
    expect(await withCrl({ nextUpdate: new Date('2021-01-01') })).toBe(refused('TPM_EK_CRL_EXPIRED'));
    expect(await withCrl({ thisUpdate: later(1) })).toBe(refused('TPM_EK_CRL_EXPIRED'));
    expect(await withCrl({ extensions: [critical] })).toBe(refused('TPM_EK_CRL_UNSUPPORTED'));
    const mute = await tpmAuthority('Maker CA', root, { usages: x509.KeyUsageFlags.keyCertSign });
    const list = [await tpmCrl(root), await tpmCrl(mute)];
    const below = { ek: await ekCertificate(ekKey, mute), issuers: [mute.certificate, root.certificate] };
    expect(verdict(appraise({ ...below, crls: list }))).toBe(refused('TPM_EK_CRL_SIGNATURE'));
  });

  it('are asked for by the key of each issuer that none is there of', async () => {
    const evidence = { namespace: 'x-tpm', evidence: new Uint8Array() };
    const certificates = [akCertificate, ek, maker.certificate, root.certificate, Buffer.from('junk')];
    const paths = async (
      held: readonly Uint8Array[],
      from: readonly Uint8Array[] = certificates,
    ): Promise<string[]> => {
      const queries = await tpmVerifier.endorsementQueries(evidence, { certificates: from, crls: held });
      return queries.map(({ vendor, kind, path }) => `${vendor} ${kind} ${path}`);
    };
    const ofRoot = `tpm crl crl/${root.fingerprint}`;
    expect(await paths([])).toEqual([`tpm crl crl/${maker.fingerprint}`, ofRoot]);
    expect(await paths([await tpmCrl(maker)])).toEqual([ofRoot]);
    expect(await paths([], [maker.certificate, root.certificate])).toEqual([]);
  });
});

it('no certificate below the trusted key with another byte in it is a yes, nor a mistake of the verifier', () => {
  fc.assert(
    fc.property(fc.nat(2), fc.nat(), fc.integer({ min: 1, max: 255 }), (which, where, flip) => {
      const certificates = [akCertificate, ek, maker.certificate, root.certificate].map((der, index) => {
        const altered = Uint8Array.from(der);
        const at = where % der.length;
        if (index === which) altered[at] = (altered[at] ?? 0) ^ flip;
        return altered;
      });
      const [ak = akCertificate, alteredEk = ek, ...issuers] = certificates;
      expect(appraise({ ak, ek: alteredEk, issuers }).status).toBe('contraindicated');
    }),
    { numRuns: 300 },
  );
});

it('reads the policy', () => {
  const parse = (activation: unknown): boolean => tpmVerifier.policySchema.safeParse({ activation }).success;
  expect(parse({ ek_roots: [root.fingerprint], eks: [ekFingerprint] })).toBe(true);
  expect([{ eks: [] }, { ek_roots: ['abc'] }, { roots: [] }, 'federation'].map(parse)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
