import { generateKeyPairSync } from 'node:crypto';
import { expect, it } from '@jest/globals';
import { Appraiser, type Verdict } from '@muster/server/attestation/appraisal.js';
import type { JwksCache } from '@muster/shared/endorsements/jwks-cache.js';
import { endorsementSource } from '@muster/shared/endorsements/resolve.js';
import { FakeAttestationService, servicePolicy } from '../../support/attestation-service.js';
import { presenter, trustDomain } from '../../support/tokens.js';

const site = presenter('site-1');
const nonce = new Uint8Array(32).fill(7);
const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

async function judge(service: FakeAttestationService, keys?: JwksCache): Promise<Verdict> {
  const appraiser = new Appraiser({
    policy: servicePolicy,
    policyId: 'sha256:0',
    simulatedRoots: [],
    endorsements: endorsementSource([]),
    trustBundle: () => [],
    ...(keys !== undefined && { keys }),
    signer: { issuer: 'spiffe://x', trustDomain, keyId: 'k', key, jwks: '' },
    clock: service.clock,
  });
  const { publicKey, identity } = site;
  const { name, role } = identity;
  const tokens = [await service.token(site, nonce)];
  return appraiser.appraise({ participant: { name, role }, publicKey, tokens, nonce });
}

it('the server fetches the keys of the services that its policy trusts, once while they are fresh', async () => {
  const service = new FakeAttestationService();
  expect(await judge(service, service.keys)).toMatchObject({ outcome: 'accepted' });
  expect(await judge(service, service.keys)).toMatchObject({ outcome: 'accepted' });
  expect(service.requests).toBe(1);
});

it('a service that does not answer defers the verdict, and makes no yes', async () => {
  const service = new FakeAttestationService();
  service.isUp = false;
  expect(await judge(service, service.keys)).toMatchObject({
    outcome: 'deferred',
    reasons: [{ code: 'ATTESTATION_DEFERRED' }, { code: 'SERVICE_KEY_MISSING', participant: 'site-1' }],
  });
  service.isUp = true;
  await service.clock.advance(1);
  expect(await judge(service, service.keys)).toMatchObject({ outcome: 'accepted' });
});

it('a server that may ask nobody, and has no keys, says no', async () => {
  expect(await judge(new FakeAttestationService())).toMatchObject({
    outcome: 'rejected',
    reasons: [{ code: 'SERVICE_KEY_MISSING' }],
  });
});
