import { expect, it } from '@jest/globals';
import type { AppraisalInput, Evidence } from '@muster/shared/evidence/appraisal.js';
import { appraiseParticipant, openTokens } from '@muster/shared/tokens/appraise-tokens.js';
import { registryAudience } from '@muster/shared/tokens/attestation-token.js';
import { FakeVerifier } from '../../support/fake-verifier.js';
import { testPolicy } from '../../support/policies.js';
import { presenter, presentToken, trustDomain } from '../../support/tokens.js';

const at = new Date('2026-03-01T12:00:00Z');
const site = presenter('site-1');
const nonce = new Uint8Array(32).fill(1);

/** A verifier that remembers which other evidence it was shown. */
class Witness extends FakeVerifier {
  related: readonly Evidence[] = [];

  override appraise(input: AppraisalInput<unknown>): ReturnType<FakeVerifier['appraise']> {
    this.related = input.related ?? [];
    return super.appraise(input);
  }
}

it('a verifier is shown the evidence of the other namespaces, which must be of the same round', async () => {
  const witness = new Witness('x-b');
  const appraise = async (otherNonce: Uint8Array): Promise<readonly string[]> => {
    const tokens = openTokens([
      await presentToken(site, otherNonce, at),
      await presentToken(site, nonce, at, { namespace: 'x-b' }),
    ]);
    const { reasons } = await appraiseParticipant({
      tokens,
      identity: site.identity,
      publicKey: site.publicKey,
      audience: registryAudience(trustDomain),
      policy: testPolicy({ sites: [{ name: '*', require: ['x-a', 'x-b'] }] }),
      endorsements: { certificates: [], crls: [] },
      simulatedRoots: [],
      at,
      verifiers: [new FakeVerifier('x-a'), witness],
    });
    return reasons.map(({ code, namespace = '' }) => `${code} ${namespace}`);
  };
  expect(await appraise(nonce)).toEqual([]);
  expect(witness.related.map(({ namespace }) => namespace)).toEqual(['x-a']);
  expect(await appraise(new Uint8Array(32).fill(2))).toEqual(['TOKEN_NONCE_MISMATCH x-b']);
});
