import { createPublicKey, X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createKey } from '@muster/server/ca/key-file.js';
import { certificateAuthentication, type Authenticate } from '@muster/server/middleware/caller.js';
import { revokeCertificates, selectAcceptedCertificates } from '@muster/server/store/certificates.js';
import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import type { Role } from '@muster/shared/spiffe.js';
import { createFederation, type TestFederation } from '../../support/members.js';

const publicKey = publicKeyDer(createPublicKey(createKey()));
let federation: TestFederation;
let authenticate: Authenticate;

beforeEach(async () => {
  federation = await createFederation();
  const { store, ca, clock } = federation;
  authenticate = certificateAuthentication(store, ca.trustDomain, clock);
});
afterEach(() => federation.close());

/** A certificate for the same key; later ones are issued later. */
async function issue(role: Role = 'site', name = 'site-1'): Promise<X509Certificate> {
  const { store, ca, clock } = federation;
  await clock.advance(1);
  const { chain } = await store.transaction((tx) => ca.issue(tx, { role, name }, publicKey, 3_600_000));
  return new X509Certificate(chain[0] ?? '');
}

/** `OK` or the code of the refusal. */
const use = ({ raw }: X509Certificate): Promise<string> =>
  authenticate({ raw } as never).then(
    () => 'OK',
    (error: unknown) => (error as { readonly code: string }).code,
  );

describe('a caller', () => {
  const refused = { code: 'UNAUTHENTICATED' };

  it('is nobody without a certificate', async () => {
    await expect(authenticate(undefined)).rejects.toMatchObject(refused);
    await expect(authenticate({} as never)).rejects.toMatchObject(refused);
  });

  it('is nobody by a certificate that the federation CA has not issued, or that names nobody', async () => {
    const other = await createFederation();
    const { chain } = await other.store.transaction((tx) =>
      other.ca.issue(tx, { role: 'site', name: 'site-1' }, publicKey, 3_600_000),
    );
    await other.close();
    expect(await use(new X509Certificate(chain[0] ?? ''))).toBe('UNAUTHENTICATED');
    expect(await use(new X509Certificate(federation.ca.bundlePem))).toBe('UNAUTHENTICATED');
  });

  it('is nobody in another trust domain', async () => {
    const held = await issue();
    authenticate = certificateAuthentication(federation.store, 'other.example', federation.clock);
    expect(await use(held)).toBe('UNAUTHENTICATED');
  });

  it('is nobody from the moment when the certificate ends', async () => {
    const held = await issue();
    const notAfter = new Date(held.validTo).getTime();
    await federation.clock.advance(notAfter - federation.clock.now().getTime() - 1_000);
    expect(await use(held)).toBe('OK');
    await federation.clock.advance(1_999);
    expect(await use(held)).toBe('CERTIFICATE_EXPIRED');
  });
});

describe('the certificates of a site', () => {
  it('are all accepted until a later one is used, however many replies were lost', async () => {
    const held = await issue();
    expect(await use(held)).toBe('OK');
    const [lost, arrived] = [await issue(), await issue()];
    expect(await use(held)).toBe('OK');
    expect(await use(arrived)).toBe('OK');
    expect(await use(arrived)).toBe('OK');
    expect([await use(held), await use(lost)]).toEqual(['CERTIFICATE_SUPERSEDED', 'CERTIFICATE_SUPERSEDED']);
  });

  it('are not retired by the first use of an earlier one', async () => {
    const held = await issue();
    const [late, latest] = [await issue(), await issue()];
    expect([await use(held), await use(late), await use(latest)]).toEqual(['OK', 'OK', 'OK']);
    expect(await use(late)).toBe('CERTIFICATE_SUPERSEDED');
  });

  it('do not retire those of another site, nor of an operator of the same name', async () => {
    const [other, operator] = [await issue('site', 'site-2'), await issue('operator', 'site-1')];
    expect(await use(await issue())).toBe('OK');
    expect([await use(other), await use(operator)]).toEqual(['OK', 'OK']);
  });
});

describe('the credentials of an operator', () => {
  it('are accepted beside each other, until they are revoked', async () => {
    const [old, young] = [await issue('operator', 'olga'), await issue('operator', 'olga')];
    expect([await use(young), await use(old)]).toEqual(['OK', 'OK']);
    const { store, clock } = federation;
    const one = { role: 'operator', name: 'olga', serial: old.serialNumber.toLowerCase() };
    expect(await store.transaction((tx) => revokeCertificates(tx, one, clock.now().getTime()))).toBe(1);
    expect([await use(young), await use(old)]).toEqual(['OK', 'CERTIFICATE_REVOKED']);
    const accepted = await store.transaction((tx) => selectAcceptedCertificates(tx, clock.now()));
    expect(accepted.map(({ serial }) => serial)).toEqual([young.serialNumber.toLowerCase()]);
  });
});
