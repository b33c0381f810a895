import { describe, expect, it } from '@jest/globals';
import { generationFailed } from '@muster/attester/attester.js';
import { openAttestationToken } from '@muster/shared/tokens/attestation-token.js';
import { createFederation } from '../../support/federation.js';
import { until } from '../../support/until.js';
import { testPolicy } from '../../support/policies.js';

describe("the server's own attestation", () => {
  it('proves the server to itself before anything else', async () => {
    const { verification, registry } = await createFederation();
    await verification.start();
    expect(registry.standing('muster')).toMatchObject({ admissible: true, exempt: false });
  });

  it('row 6: an attester that fails keeps the server from starting: failed to generate CC token', async () => {
    const { verification, attester } = await createFederation();
    attester.failure = generationFailed('x-a', 'the device is gone.');
    await expect(verification.start()).rejects.toMatchObject({
      code: 'ATTESTATION_GENERATION_FAILED',
      message: 'failed to generate CC token: the device is gone.',
    });
  });

  it('row 6: so does empty evidence', async () => {
    const { verification, attester } = await createFederation();
    attester.empty = true;
    await expect(verification.start()).rejects.toThrow('failed to generate CC token');
  });

  it('row 6: so does a namespace without an attester', async () => {
    const policy = testPolicy({ servers: [{ name: 'muster', require: ['x-b'] }] });
    const { verification } = await createFederation({ policy });
    await expect(verification.start()).rejects.toThrow('failed to generate CC token');
  });

  it('does not start on evidence that the policy refuses, nor on an old proof', async () => {
    const before = await createFederation();
    await before.verification.start();
    const { verification, attester, failures } = await createFederation({ before });
    attester.says = { tier: 'contraindicated' };
    await expect(verification.start()).rejects.toMatchObject({ code: 'SNP_REPORT_LENGTH' });
    expect(failures).toMatchObject([{ kind: 'server_unproven', participant: 'muster' }]);
  });

  it('does not start on an old proof while its attester fails', async () => {
    const before = await createFederation();
    await before.verification.start();
    const { verification, attester } = await createFederation({ before });
    attester.failure = generationFailed('x-a', 'the device is gone.');
    await expect(verification.start()).rejects.toMatchObject({ code: 'ATTESTATION_GENERATION_FAILED' });
  });

  it('does not start when the policy does not list the server', async () => {
    const policy = testPolicy({ servers: [{ name: 'other', require: ['x-a'] }] });
    const { verification } = await createFederation({ policy });
    await expect(verification.start()).rejects.toMatchObject({ code: 'POLICY_PARTICIPANT_UNLISTED' });
  });

  it('starts without evidence where the policy exempts the server by name', async () => {
    const policy = testPolicy({ servers: [{ name: 'muster', exempt: true, because: 'a test' }] });
    const { verification, registry, attester } = await createFederation({ policy });
    await verification.start();
    expect(registry.standing('muster')).toMatchObject({ admissible: true, exempt: true });
    expect(attester.collections).toBe(0);
  });

  it("does not start under a site's name", async () => {
    const federation = await createFederation();
    await federation.enroll('muster');
    await expect(federation.verification.start()).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
  });

  it('row 7: renews its token before it expires, with a newer time', async () => {
    const { verification, registry, clock, failures } = await createFederation();
    await verification.start();
    const [before] = registry.find('muster')?.tokens ?? [];
    await clock.advance(360_000);
    await until(() => registry.find('muster')?.tokens[0] !== before);
    const [after] = registry.find('muster')?.tokens ?? [];
    expect(after?.issuedAt.getTime()).toBeGreaterThan(before?.issuedAt.getTime() ?? Infinity);
    await clock.advance(300_000);
    expect(registry.standing('muster').admissible).toBe(true);
    expect(failures).toEqual([]);
  });

  it('loses its standing when it can no longer prove itself', async () => {
    const { verification, registry, clock, attester, failures } = await createFederation();
    await verification.start();
    attester.failure = generationFailed('x-a', 'the device is gone.');
    await clock.advance(600_000);
    expect(registry.standing('muster').admissible).toBe(false);
    expect(failures.filter(({ kind }) => kind === 'server_unproven')).toHaveLength(1);
  });

  it("answers an agent's nonce for that agent, and equal questions once", async () => {
    const { self, attester, server } = await createFederation();
    const nonce = new Uint8Array(32).fill(7);
    const audience = 'spiffe://hospitals.example/site/site-1';
    const [first, second] = await Promise.all([self.answer(nonce, audience), self.answer(nonce, audience)]);
    expect(first).toEqual(second);
    expect(attester.collections).toBe(1);
    const claims = openAttestationToken(first[0] ?? '');
    expect(claims).toMatchObject({ audience, nonce, identity: server.identity });
  });
});
