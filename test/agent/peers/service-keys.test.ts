import { expect, it } from '@jest/globals';
import { createAppraiser } from '@muster/agent/peers/appraiser.js';
import type { JwksCache } from '@muster/shared/endorsements/jwks-cache.js';
import { endorsementSource } from '@muster/shared/endorsements/resolve.js';
import { verifiers } from '@muster/shared/evidence/verifiers.js';
import type { ParticipantAppraisal } from '@muster/shared/tokens/appraise-tokens.js';
import { registryAudience } from '@muster/shared/tokens/attestation-token.js';
import { FakeAttestationService, servicePolicy } from '../../support/attestation-service.js';
import { presenter, trustDomain } from '../../support/tokens.js';

const site = presenter('site-2');
const nonce = new Uint8Array(32).fill(7);

async function judge(
  service: FakeAttestationService,
  { keys, maker = service }: { readonly keys?: JwksCache; readonly maker?: FakeAttestationService } = service,
): Promise<ParticipantAppraisal> {
  const appraise = createAppraiser({
    policy: servicePolicy,
    simulatedRoots: [],
    source: endorsementSource([]),
    keys,
    verifiers,
    trustBundle: () => [],
    clock: service.clock,
  });
  const jws = await maker.token(site, nonce);
  const presented = { participant: 'site-2', server: false, tokens: [{ namespace: 'ear', jws }] };
  return appraise(
    { ...presented, endorsements: undefined },
    { identity: site.identity, audience: registryAudience(trustDomain) },
  );
}

it("a site fetches the keys of the services that its own policy trusts, once for all peers' tokens", async () => {
  const service = new FakeAttestationService();
  expect(await judge(service)).toMatchObject({ proven: true, reasons: [] });
  expect(await judge(service)).toMatchObject({ proven: true });
  expect(service.requests).toBe(1);
});

it('a site without keys says no', async () => {
  const service = new FakeAttestationService();
  const refused = { proven: false, reasons: [{ code: 'SERVICE_KEY_MISSING', participant: 'site-2' }] };
  service.isUp = false;
  expect(await judge(service)).toMatchObject(refused);
  expect(await judge(service, {})).toMatchObject(refused);
});

it('a site refuses what another key signed, whoever delivers it', async () => {
  const service = new FakeAttestationService();
  expect(await judge(service, { keys: service.keys, maker: new FakeAttestationService() })).toMatchObject({
    proven: false,
  });
});
