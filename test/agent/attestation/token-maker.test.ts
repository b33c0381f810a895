import { expect, it } from '@jest/globals';
import { TokenMaker, type TokenSource } from '@muster/agent/attestation/token-maker.js';
import { generationFailed } from '@muster/attester/attester.js';
import { bindingEvidence, gpuNonce } from '@muster/shared/evidence/x-nv-gpu/nonce.js';
import { openAttestationToken, registryAudience } from '@muster/shared/tokens/attestation-token.js';
import { reportData } from '@muster/shared/tokens/binding.js';
import { FakeClock } from '../../support/fake-clock.js';
import { silentLogger } from '../../support/logger.js';
import { presenter, trustDomain } from '../../support/tokens.js';

const site = presenter('site-1');
const nonce = new Uint8Array(32).fill(3);
const request = { nonce, namespaces: ['x-nv-gpu', 'x-snp'], audience: registryAudience(trustDomain) };

/** A GPU that answers what it is asked, as the attester of x-nv-gpu derives it. */
const gpu: TokenSource['attester'] = {
  namespace: 'x-nv-gpu',
  bindsToOthers: true,
  collect: async (data, { related = [] } = {}) => ({
    namespace: 'x-nv-gpu',
    evidence: gpuNonce(data, bindingEvidence(related)),
  }),
};

function maker(cpu: () => Promise<Uint8Array>): TokenMaker {
  const collect = async (): Promise<{ namespace: string; evidence: Uint8Array }> => ({
    namespace: 'x-snp',
    evidence: await cpu(),
  });
  const sources = [gpu, { namespace: 'x-snp', collect }];
  return new TokenMaker(
    sources.map((attester) => ({ attester, lifetimeMs: 60_000 })),
    new FakeClock(),
    silentLogger,
  );
}

it("collects the CPU's evidence first, and the GPU's for a nonce of it, whatever order is asked for", async () => {
  const report = Uint8Array.of(1, 2, 3);
  const { tokens, failures } = await maker(async () => report).make(request, site);
  expect(failures).toEqual([]);
  expect(tokens.map(({ namespace }) => namespace)).toEqual(request.namespaces);
  const opened = openAttestationToken(tokens[0]?.jws ?? '');
  expect(opened.evidence.evidence).toEqual(gpuNonce(reportData({ nonce, ...site }), report));
});

it('says which namespace failed, and makes the other token', async () => {
  const failing = maker(() => Promise.reject(generationFailed('x-snp', 'no device.')));
  const { tokens, failures } = await failing.make(request, site);
  expect(tokens.map(({ namespace }) => namespace)).toEqual(['x-nv-gpu']);
  expect(failures).toMatchObject([{ code: 'ATTESTATION_GENERATION_FAILED', namespace: 'x-snp' }]);
});
