import { createPublicKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openAuthority, type CertificateAuthority } from '@muster/server/ca/authority.js';
import { createKey } from '@muster/server/ca/key-file.js';
import {
  progressOf,
  takeStep,
  type RotationContext,
  type RotationProgress,
} from '@muster/server/ca/rotation.js';
import { certificateAuthentication } from '@muster/server/middleware/caller.js';
import { insertParticipant, updateParticipant } from '@muster/server/store/participants.js';
import { publicKeyDer } from '@muster/shared/pki/certificate.js';
import type { Role } from '@muster/shared/spiffe.js';
import { FakeClock } from '../../support/fake-clock.js';
import { memoryStore } from '../../support/store.js';

const trustDomain = 'federation.example';
const publicKey = publicKeyDer(createPublicKey(createKey()));
let context: RotationContext & { readonly clock: FakeClock };
let ca: CertificateAuthority;

beforeEach(async () => {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'muster-rotation-'));
  context = { store: await memoryStore(), dataDirectory, trustDomain, clock: new FakeClock() };
  ca = await open();
});
afterEach(async () => {
  await context.store.close();
  rmSync(context.dataDirectory, { recursive: true, force: true });
});

const open = (): Promise<CertificateAuthority> =>
  openAuthority(context.store, context.dataDirectory, trustDomain, context.clock);

async function step(name: Parameters<typeof takeStep>[1], force = false): Promise<void> {
  await takeStep(context, name, force, async () => undefined);
  await ca.refresh();
}

const progress = (): Promise<RotationProgress> => context.store.transaction((tx) => progressOf(context, tx));
const hasKey = (number: number): boolean =>
  existsSync(join(context.dataDirectory, number === 1 ? 'ca-key.pem' : `ca-${number}-key.pem`));

async function enrolled(name: string, trustBundle = ''): Promise<void> {
  await context.store.transaction(async (tx) => {
    await insertParticipant(tx, { name, role: 'site', invited_at: 0 });
    await updateParticipant(tx, name, { enrolled_at: 1, trust_bundle: trustBundle });
  });
}

/** Issues a certificate and uses it. */
async function certify(role: Role, name: string): Promise<X509Certificate> {
  const { store, clock } = context;
  await clock.advance(1);
  const { chain } = await store.transaction((tx) => ca.issue(tx, { role, name }, publicKey, 3_600_000));
  const certificate = new X509Certificate(chain[0] ?? '');
  await certificateAuthentication(store, trustDomain, clock)(certificate as never);
  return certificate;
}

const roots = (): X509Certificate[] => ca.bundle.map((der) => new X509Certificate(der));

describe('a rotation of the CA', () => {
  it('adds the next one, lets it issue, and takes the previous one away', async () => {
    const [first] = roots();
    await step('prepare');
    expect(roots()).toHaveLength(2);
    expect((await certify('site', 'site-1')).verify((first as X509Certificate).publicKey)).toBe(true);
    await step('promote');
    const [, second] = roots();
    expect((await certify('site', 'site-1')).verify((second as X509Certificate).publicKey)).toBe(true);
    await step('retire');
    expect(roots().map(String)).toEqual([String(second)]);
    expect([hasKey(1), hasKey(2)]).toEqual([false, true]);
    expect((await open()).hash).toBe(ca.hash);
    await step('prepare');
    await step('promote');
    expect([hasKey(2), hasKey(3)]).toEqual([true, true]);
  });

  it('tells who changed nothing that nothing is new', async () => {
    expect(await ca.refresh()).toBe(false);
    const other = await open();
    await step('prepare');
    expect([await other.refresh(), await other.refresh()]).toEqual([true, false]);
    expect(other.bundleDigest).toBe(ca.bundleDigest);
  });

  it.each([
    ['promote', []],
    ['retire', []],
    ['retire', ['prepare']],
    ['prepare', ['prepare']],
    ['prepare', ['prepare', 'promote']],
    ['promote', ['prepare', 'promote']],
  ] as const)('refuses to %s after %j', async (next, before) => {
    for (const each of before) await step(each);
    await expect(step(next, true)).rejects.toMatchObject({ code: 'CA_ROTATION_STEP' });
  });

  it('waits for every enrolled site to trust the next CA, unless it is forced', async () => {
    await enrolled('site-1');
    await enrolled('site-2');
    await step('prepare');
    await context.store.transaction((tx) =>
      updateParticipant(tx, 'site-1', { trust_bundle: ca.bundleDigest }),
    );
    expect(await progress()).toMatchObject({ stage: 'prepared', waiting: ['site/site-2'] });
    await expect(step('promote')).rejects.toMatchObject({
      code: 'CA_ROTATION_WAITING',
      message: expect.stringContaining('site/site-2'),
    });
    await step('promote', true);
    expect(await progress()).toMatchObject({ stage: 'promoted' });
  });

  it('waits for everybody to use a certificate of the CA that issues, and not for what is of no use', async () => {
    const { store, clock } = context;
    await certify('site', 'site-1');
    await certify('operator', 'olga');
    await certify('server', 'central');
    await step('prepare');
    await step('promote');
    expect((await progress()).waiting).toEqual(['operator/olga', 'site/site-1']);
    await certify('site', 'site-1');
    await store.transaction((tx) => ca.issue(tx, { role: 'operator', name: 'olga' }, publicKey, 3_600_000));
    expect((await progress()).waiting).toEqual(['operator/olga']);
    await expect(step('retire')).rejects.toMatchObject({ code: 'CA_ROTATION_WAITING' });
    await certify('operator', 'olga');
    expect((await progress()).waiting).toEqual([]);
    await step('retire');
    await clock.advance(1);
    expect(await progress()).toMatchObject({ stage: 'steady', waiting: [] });
  });

  it('makes one CA, however often it is interrupted before it is on record', async () => {
    const killed = (): Promise<never> => Promise.reject(new Error('killed'));
    await expect(takeStep(context, 'prepare', false, killed)).rejects.toThrow('killed');
    const made = createPublicKey(readFileSync(join(context.dataDirectory, 'ca-2-key.pem')));
    expect(await progress()).toMatchObject({ stage: 'steady' });
    expect((await open()).bundle).toHaveLength(1);
    await step('prepare');
    expect(roots()[1]?.publicKey.equals(made)).toBe(true);
  });

  it('destroys the key of a retired CA also when it was interrupted', async () => {
    await step('prepare');
    await step('promote');
    await takeStep(context, 'retire', false, async () => undefined);
    expect(hasKey(1)).toBe(true);
    await open();
    expect(hasKey(1)).toBe(false);
  });

  it('makes no new CA in the place of one whose files are gone', async () => {
    await step('prepare');
    rmSync(join(context.dataDirectory, 'ca-2-key.pem'));
    rmSync(join(context.dataDirectory, 'ca-2.pem'));
    await expect(open()).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  });
});
