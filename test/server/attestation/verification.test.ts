import { beforeEach, describe, expect, it } from '@jest/globals';
import { VerdictOutcome } from '@muster/shared/gen/muster/v1/agent.js';
import { toReasonMessage } from '@muster/shared/grpc/reasons.js';
import type { Resolution } from '@muster/shared/endorsements/resolve.js';
import { reason } from '@muster/shared/reasons.js';
import {
  challengeTimeoutMs,
  createFederation,
  verificationPeriodMs,
  type Federation,
} from '../../support/federation.js';
import { testPolicy } from '../../support/policies.js';
import { answerChallenge, RecordingOutbox } from '../../support/site-agent.js';
import { until } from '../../support/until.js';
import { presenter, presentToken, type Presenter } from '../../support/tokens.js';

const codesOf = (reasons: readonly { readonly code: string }[]): string[] => reasons.map(({ code }) => code);

describe('the verification of sites', () => {
  let outbox: RecordingOutbox;
  let federation: Federation;
  let site: Presenter;

  beforeEach(async () => {
    outbox = new RecordingOutbox();
    federation = await createFederation({ outbox });
    site = await federation.enroll('site-1');
    await federation.verification.start();
    connect('site-1');
  });

  const connect = (name: string): void => {
    outbox.connected.add(name);
    federation.registry.setLiveness(name, { connected: true });
  };
  const tokensOf = (name: string): readonly string[] =>
    federation.registry.find(name)?.tokens.map(({ jws }) => jws) ?? [];
  /** Challenges the site through the clock, as an open session would. */
  const challenged = async (): Promise<void> => {
    federation.verification.sessionOpened('site-1');
    await federation.clock.advance(0);
  };
  const prove = async (changes = {}): Promise<void> => {
    await challenged();
    await answerChallenge(federation, outbox, site, changes);
  };

  it('row 2: keeps a token of a site under its name, with its verdict', async () => {
    await prove();
    expect(outbox.verdict('site-1')).toMatchObject({ outcome: VerdictOutcome.ACCEPTED, reasons: [] });
    const [token] = federation.registry.find('site-1')?.tokens ?? [];
    expect(token).toMatchObject({ namespace: 'x-a', appraisal: { status: 'affirming' } });
    expect(token?.ear.split('.')).toHaveLength(3);
    expect(federation.registry.standing('site-1')).toMatchObject({ admissible: true, reasons: [] });
  });

  it('row 3: holds the tokens of the server and of every site', async () => {
    await prove();
    expect(federation.registry.all().map(({ name, tokens }) => [name, tokens.length])).toEqual([
      ['muster', 1],
      ['site-1', 1],
    ]);
  });

  it('row 5: judges a valid and an invalid site apart', async () => {
    const second = await federation.enroll('site-2');
    connect('site-2');
    await prove();
    federation.verification.sessionOpened('site-2');
    await federation.clock.advance(0);
    await answerChallenge(federation, outbox, second, { tier: 'contraindicated' });
    expect(federation.registry.standing('site-1').admissible).toBe(true);
    const { admissible, reasons } = federation.registry.standing('site-2');
    expect(admissible).toBe(false);
    expect(reasons[0]).toMatchObject({
      code: 'ATTESTATION_MISSING',
      participant: 'site-2',
      namespace: 'x-a',
    });
    expect(reasons[0]?.message).toContain('not meeting CC requirements');
  });

  it('row 10: a token without a challenge is invalid', async () => {
    const jws = await presentToken(site, new Uint8Array(32), federation.clock.now());
    const tokens = [{ namespace: 'x-a', jws }];
    await federation.sites.answer('site-1', 0, { challengeId: 'none', tokens, failures: [] });
    expect(codesOf(outbox.verdict('site-1').reasons)).toEqual(['CHALLENGE_UNKNOWN']);
    expect(tokensOf('site-1')).toEqual([]);
  });

  it('row 11: a replayed token is invalid the second time, and the first stands', async () => {
    await prove();
    const { id, nonce } = outbox.challenge('site-1');
    const jws = await presentToken(site, nonce, federation.clock.now());
    const held = tokensOf('site-1');
    await federation.sites.answer('site-1', 0, {
      challengeId: id,
      tokens: [{ namespace: 'x-a', jws }],
      failures: [],
    });
    expect(outbox.verdict('site-1').outcome).toBe(VerdictOutcome.REJECTED);
    expect(codesOf(outbox.verdict('site-1').reasons)).toEqual(['TOKEN_REPLAYED']);
    expect(tokensOf('site-1')).toEqual(held);
    expect(federation.failures).toEqual([]);
  });

  it('row 11: a replay is refused after a restart too', async () => {
    await prove();
    const { id } = outbox.challenge('site-1');
    const [jws = ''] = tokensOf('site-1');
    const restarted = await createFederation({ outbox, before: federation });
    await restarted.verification.start();
    await restarted.sites.answer('site-1', 0, {
      challengeId: id,
      tokens: [{ namespace: 'x-a', jws }],
      failures: [],
    });
    expect(codesOf(outbox.verdict('site-1').reasons)).toEqual(['CHALLENGE_UNKNOWN']);
  });

  it('row 12: a token of another site is invalid', async () => {
    const other = await federation.enroll('site-2');
    await challenged();
    const { id, nonce } = outbox.challenge('site-1');
    const jws = await presentToken(other, nonce, federation.clock.now());
    await federation.sites.answer('site-1', 0, {
      challengeId: id,
      tokens: [{ namespace: 'x-a', jws }],
      failures: [],
    });
    expect(codesOf(outbox.verdict('site-1').reasons)).toContain('TOKEN_ISSUER_MISMATCH');
  });

  it("row 12: a site cannot use up another site's challenge", async () => {
    await federation.enroll('site-2');
    connect('site-2');
    await challenged();
    const { id } = outbox.challenge('site-1');
    await federation.sites.answer('site-2', 0, { challengeId: id, tokens: [], failures: [] });
    expect(codesOf(outbox.verdict('site-2').reasons)).toEqual(['CHALLENGE_UNKNOWN']);
    expect((await answerChallenge(federation, outbox, site)).outcome).toBe(VerdictOutcome.ACCEPTED);
  });

  it('row 14: a restart recovers the registry without waiting for expiry', async () => {
    await prove();
    const restarted = await createFederation({ before: federation });
    await restarted.verification.start();
    expect(restarted.registry.standing('site-1')).toMatchObject({ admissible: true });
    expect(restarted.failures).toEqual([]);
  });

  it('row 14: a restart drops what no longer passes the policy, and says why', async () => {
    await prove();
    const policy = testPolicy({
      token_lifetime: 599_000,
      servers: [{ name: '*', exempt: true, because: 'x' }],
    });
    const stricter = await createFederation({ before: federation, policy });
    await stricter.verification.start();
    expect(stricter.registry.find('site-1')?.tokens).toEqual([]);
    expect(stricter.failures).toMatchObject([
      { kind: 'evidence_rejected', participant: 'site-1', reasons: [{ code: 'TOKEN_LIFETIME_EXCESSIVE' }] },
    ]);
  });

  it('row 14: a restart drops what has expired meanwhile, and says so once', async () => {
    await prove();
    federation.verification.stop();
    await federation.clock.advance(600_000);
    const expired = await createFederation({ before: federation });
    await expired.verification.start();
    expect(expired.registry.standing('site-1').admissible).toBe(false);
    expect(expired.failures).toMatchObject([
      { kind: 'token_expired', participant: 'site-1', reasons: [{ code: 'ATTESTATION_EXPIRED' }] },
    ]);
    const again = await createFederation({ before: federation });
    await again.verification.start();
    expect(again.failures).toEqual([]);
  });

  it('ends a token at the moment of its expiry, once, without a sweep', async () => {
    await prove({ lifetimeMs: 300_000 });
    outbox.connected.clear();
    await federation.clock.advance(299_999);
    expect(federation.failures).toEqual([]);
    await federation.clock.advance(1);
    expect(federation.failures).toMatchObject([{ kind: 'token_expired', participant: 'site-1' }]);
    expect(codesOf(federation.registry.standing('site-1').reasons)).toContain('ATTESTATION_EXPIRED');
    await federation.clock.advance(verificationPeriodMs * 2);
    expect(federation.failures.filter(({ kind }) => kind === 'token_expired')).toHaveLength(1);
  });

  it('notices within 30 s that the wall clock was stepped over an expiry', async () => {
    await prove();
    outbox.connected.clear();
    federation.clock.step(600_000);
    expect(federation.registry.standing('site-1').admissible).toBe(false);
    await federation.clock.advance(30_000);
    expect(federation.failures).toMatchObject([{ kind: 'server_unproven' }, { kind: 'token_expired' }]);
  });

  it('challenges a new session, but not one whose proof has more than half of its life left', async () => {
    await prove();
    expect(outbox.challenges('site-1')).toBe(1);
    federation.verification.sessionOpened('site-1');
    await federation.clock.advance(300_000);
    expect(outbox.challenges('site-1')).toBe(1);
    federation.verification.sessionOpened('site-1');
    await federation.clock.advance(0);
    expect(outbox.challenges('site-1')).toBe(2);
  });

  it('row 7: renews a token at about 60 % of its life, with a newer time', async () => {
    await prove();
    const [before] = federation.registry.find('site-1')?.tokens ?? [];
    await federation.clock.advance(360_000);
    expect(outbox.challenges('site-1')).toBe(2);
    await answerChallenge(federation, outbox, site);
    const [after] = federation.registry.find('site-1')?.tokens ?? [];
    expect(after?.issuedAt.getTime()).toBeGreaterThan(before?.issuedAt.getTime() ?? Infinity);
    expect(federation.failures).toEqual([]);
  });

  it('ends the proof of a site whose new evidence is refused', async () => {
    await prove();
    await federation.clock.advance(360_000);
    const verdict = await answerChallenge(federation, outbox, site, { tier: 'contraindicated' });
    expect(verdict.outcome).toBe(VerdictOutcome.REJECTED);
    expect(tokensOf('site-1')).toEqual([]);
    expect(federation.failures).toMatchObject([{ kind: 'evidence_rejected', participant: 'site-1' }]);
    expect(federation.audit.at(-1)).toMatchObject({
      action: 'participant.attest',
      subject: 'site-1',
      decision: 'refused',
      evidence: { 'x-a': expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
  });

  it('row 13: a verifier that throws ends in a refusal', async () => {
    await challenged();
    const verdict = await answerChallenge(federation, outbox, site, { tier: 'throws' });
    expect(codesOf(verdict.reasons)).toEqual(['VERIFIER_FAILED']);
    expect(federation.registry.standing('site-1').admissible).toBe(false);
  });

  it('keeps the old token while the attester fails, until that expires', async () => {
    await prove();
    await federation.clock.advance(360_000);
    const failure = reason('ATTESTATION_DEVICE_TIMEOUT', { namespace: 'x-a' });
    await federation.sites.answer('site-1', 0, {
      challengeId: outbox.challenge('site-1').id,
      tokens: [],
      failures: [toReasonMessage(failure)],
    });
    expect(federation.failures).toMatchObject([
      { kind: 'attester_failed', participant: 'site-1', reasons: [{ code: 'ATTESTATION_DEVICE_TIMEOUT' }] },
    ]);
    expect(federation.registry.standing('site-1').admissible).toBe(true);
    outbox.connected.clear();
    await federation.clock.advance(240_000);
    expect(federation.failures.at(-1)).toMatchObject({ kind: 'token_expired' });
  });

  it("takes a site's word against itself for a refusal, whatever its old token is worth", async () => {
    await prove();
    await federation.clock.advance(360_000);
    const off = reason('NV_CONFIDENTIAL_COMPUTING_OFF', { namespace: 'x-a' });
    await federation.sites.answer('site-1', 0, {
      challengeId: outbox.challenge('site-1').id,
      tokens: [],
      failures: [toReasonMessage(off)],
    });
    expect(federation.failures).toMatchObject([
      { kind: 'evidence_rejected', reasons: [{ code: 'NV_CONFIDENTIAL_COMPUTING_OFF' }] },
    ]);
    expect(tokensOf('site-1')).toEqual([]);
  });

  it('takes an empty answer for a failed attester, not for a proof', async () => {
    await challenged();
    const { id } = outbox.challenge('site-1');
    await federation.sites.answer('site-1', 0, { challengeId: id, tokens: [], failures: [] });
    expect(federation.failures).toMatchObject([
      { kind: 'attester_failed', reasons: [{ code: 'ATTESTATION_GENERATION_FAILED' }] },
    ]);
  });

  it('takes silence until the deadline for a failed attester, and refuses the late answer', async () => {
    await challenged();
    await federation.clock.advance(challengeTimeoutMs + 1);
    expect(federation.failures).toMatchObject([{ kind: 'attester_failed' }]);
    const verdict = await answerChallenge(federation, outbox, site);
    expect(codesOf(verdict.reasons)).toEqual(['CHALLENGE_EXPIRED']);
    expect(tokensOf('site-1')).toEqual([]);
  });

  it('does not blame a site for a challenge that its session did not live to answer', async () => {
    await challenged();
    outbox.connected.clear();
    federation.sites.forget('site-1');
    await federation.clock.advance(challengeTimeoutMs + 1);
    expect(federation.failures).toEqual([]);
  });

  it('verifies on a schedule', async () => {
    await prove();
    const asked = outbox.challenges('site-1');
    await federation.clock.advance(verificationPeriodMs);
    expect(outbox.challenges('site-1')).toBeGreaterThan(asked);
  });

  it('verifies on demand and waits for the verdict', async () => {
    let done = false;
    const verified = federation.verification.verify(['site-1'], 60_000).then(() => (done = true));
    await federation.clock.advance(0);
    expect(done).toBe(false);
    await answerChallenge(federation, outbox, site);
    await verified;
    expect(federation.registry.standing('site-1').admissible).toBe(true);
  });

  it('verifies again with fresh revocation lists, and takes nothing back while there are none', async () => {
    let answer: Resolution = {
      endorsements: { certificates: [], crls: [Buffer.from('none revoked')] },
      deferred: [],
    };
    federation = await createFederation({
      outbox,
      endorsements: { resolve: async () => answer, doubt: () => undefined },
    });
    const { verifier } = federation;
    verifier.endorsementQueries = (_evidence, { crls }) =>
      crls.length > 0 ? [] : [{ vendor: 'amd', kind: 'crl', path: 'vcek/v1/Milan/crl' }];
    const appraise = verifier.appraise.bind(verifier);
    verifier.appraise = (input) => {
      const [crl] = input.endorsements.crls;
      const status = crl === undefined ? 'none' : 'contraindicated';
      const isFit = crl !== undefined && Buffer.from(crl).toString() === 'none revoked';
      return isFit
        ? appraise(input)
        : { ...appraise(input), status, reasons: [reason('SNP_CERTIFICATE_REVOKED')] };
    };
    site = await federation.enroll('site-1');
    await federation.verification.start();
    connect('site-1');
    await prove();
    const isAdmissible = (): boolean => federation.registry.standing('site-1').admissible;
    const verify = (): void => void federation.verification.verify(['site-1'], 60_000);
    expect(isAdmissible()).toBe(true);

    answer = { endorsements: { certificates: [], crls: [] }, deferred: [reason('ATTESTATION_DEFERRED')] };
    const asked = outbox.challenges('site-1');
    verify();
    await until(() => outbox.challenges('site-1') > asked);
    expect(isAdmissible()).toBe(true);
    answer = { endorsements: { certificates: [], crls: [Buffer.from('the key is revoked')] }, deferred: [] };
    verify();
    await until(() => !isAdmissible());
    expect(federation.failures).toMatchObject([{ kind: 'evidence_rejected' }]);
  });

  it('stops waiting at the deadline', async () => {
    const verified = federation.verification.verify(['site-1'], 1_000);
    await federation.clock.advance(1_000);
    await expect(verified).resolves.toBeUndefined();
  });

  it('challenges a connected site as soon as it is readmitted', async () => {
    await prove();
    const asked = outbox.challenges('site-1');
    const { store, registry, clock } = federation;
    await store.transaction((tx) => registry.quarantine(tx, 'site-1', [reason('OPERATOR_QUARANTINE')]));
    expect(codesOf(registry.standing('site-1').reasons)).toEqual([
      'PARTICIPANT_QUARANTINED',
      'OPERATOR_QUARANTINE',
    ]);
    await store.transaction((tx) => registry.readmit(tx, 'site-1'));
    expect(registry.standing('site-1').admissible).toBe(false);
    await clock.advance(0);
    expect(outbox.challenges('site-1')).toBe(asked + 1);
  });

  it('accepts no answer for a session that is not the newest', async () => {
    await challenged();
    const { id, nonce } = outbox.challenge('site-1');
    const jws = await presentToken(site, nonce, federation.clock.now());
    const answer = { challengeId: id, tokens: [{ namespace: 'x-a', jws }], failures: [] };
    await expect(federation.sites.answer('site-1', 9, answer)).rejects.toMatchObject({
      code: 'SESSION_FENCED',
    });
    expect(tokensOf('site-1')).toEqual([]);
  });

  it('deletes the tokens of a site that enrols with another key', async () => {
    await prove();
    const { store, registry } = federation;
    await store.transaction((tx) => registry.enroll(tx, 'site-1', presenter('site-1').publicKey));
    expect(tokensOf('site-1')).toEqual([]);
  });
});

describe('a restart', () => {
  it('asks no vendor for what verified the tokens before', async () => {
    const outbox = new RecordingOutbox();
    let questions = 0;
    const endorsements = {
      doubt: () => undefined,
      resolve: async () => {
        questions += 1;
        return { endorsements: { certificates: [Uint8Array.of(1)], crls: [] }, deferred: [] };
      },
    };
    const federation = await createFederation({ outbox, endorsements });
    const site = await federation.enroll('site-1');
    await federation.verification.start();
    outbox.connected.add('site-1');
    federation.verification.sessionOpened('site-1');
    await federation.clock.advance(0);
    await answerChallenge(federation, outbox, site, { needs: 'vcek/v1/Milan/chain' });
    expect(questions).toBe(1);
    const restarted = await createFederation({ before: federation, endorsements });
    await restarted.verification.start();
    expect(restarted.registry.standing('site-1').admissible).toBe(true);
    expect(questions).toBe(1);
  });
});

describe('an endorsement that cannot be had', () => {
  it('defers the verdict, keeps the old token, and is tried again', async () => {
    const outbox = new RecordingOutbox();
    let available = false;
    const federation = await createFederation({
      outbox,
      endorsements: {
        doubt: () => undefined,
        resolve: async () =>
          available
            ? { endorsements: { certificates: [Uint8Array.of(1)], crls: [] }, deferred: [] }
            : { endorsements: { certificates: [], crls: [] }, deferred: [reason('ATTESTATION_DEFERRED')] },
      },
    });
    const site = await federation.enroll('site-1');
    await federation.verification.start();
    outbox.connected.add('site-1');
    federation.verification.sessionOpened('site-1');
    await federation.clock.advance(0);
    const verdict = await answerChallenge(federation, outbox, site, { needs: 'vcek/v1/Milan/chain' });
    expect(verdict).toMatchObject({ outcome: VerdictOutcome.DEFERRED, retryAfter: { seconds: 15n } });
    expect(codesOf(verdict.reasons)).toContain('ATTESTATION_DEFERRED');
    expect(federation.failures).toEqual([]);
    expect(federation.registry.standing('site-1').admissible).toBe(false);
    available = true;
    await federation.clock.advance(15_000);
    await until(() => outbox.verdict('site-1').outcome === VerdictOutcome.ACCEPTED);
    expect(federation.registry.standing('site-1').admissible).toBe(true);
  });

  it('does not excuse evidence that is refused for another reason', async () => {
    const outbox = new RecordingOutbox();
    const federation = await createFederation({
      outbox,
      endorsements: {
        doubt: () => undefined,
        resolve: async () => ({
          endorsements: { certificates: [], crls: [] },
          deferred: [reason('ATTESTATION_DEFERRED')],
        }),
      },
    });
    const site = await federation.enroll('site-1');
    outbox.connected.add('site-1');
    federation.verification.sessionOpened('site-1');
    await federation.clock.advance(0);
    const verdict = await answerChallenge(federation, outbox, site, {
      needs: 'vcek/v1/Milan/chain',
      audience: 'spiffe://other.example',
    });
    expect(verdict.outcome).toBe(VerdictOutcome.REJECTED);
    expect(codesOf(verdict.reasons)).toEqual(['TOKEN_AUDIENCE_MISMATCH']);
  });
});
