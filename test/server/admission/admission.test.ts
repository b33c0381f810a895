import { describe, expect, it } from '@jest/globals';
import { Admission } from '@muster/server/admission/admission.js';
import { updateParticipant } from '@muster/server/store/participants.js';
import { MusterError } from '@muster/shared/errors.js';
import { reason } from '@muster/shared/reasons.js';
import { expiryOfPermit, verifyPermit } from '@muster/shared/tokens/permit.js';
import { createPublicKey } from 'node:crypto';
import { FakeCommands } from '../../support/fake-commands.js';
import {
  admit,
  audited,
  checkTimeoutMs,
  codes,
  federation,
  longestLeaseMs,
  operator,
  running,
  speaker,
  stateOf,
  submit,
  testSigner,
  type Federation,
} from '../../support/job-federation.js';

const both = ['site-1', 'site-2'];

describe('acceptance row 4: who is admitted', () => {
  it('c1 ok: admitted', async () => {
    const parts = await federation({ sites: ['c1', 'c2'] });
    await submit(parts, 'job-1', ['c1']);
    const job = await admit(parts, 'job-1');
    expect(job).toMatchObject({ phase: 'admitted', generation: 1, reasons: [] });
    expect(parts.commands.of('permitJob')).toEqual(['c1 job-1/1']);
  });

  it('c1 ok, c2 bad: refused, naming c2 and "not meeting CC requirements"', async () => {
    const parts = await federation({ sites: ['c1', 'c2'] });
    parts.registry.refuse('c2', reason('ATTESTATION_MISSING', { participant: 'c2', namespace: 'x-a' }));
    await submit(parts, 'job-1', ['c1', 'c2']);
    const job = await admit(parts, 'job-1');
    expect(job.phase).toBe('blocked');
    expect(job.reasons).toMatchObject([
      { code: 'PARTICIPANT_NOT_ADMISSIBLE', participant: 'c2' },
      { code: 'ATTESTATION_MISSING', participant: 'c2', namespace: 'x-a' },
    ]);
    expect(job.reasons[0]?.message).toContain('c2 is not meeting CC requirements');
    expect(parts.commands.sent).toEqual([]);
  });

  it.each(['server', 'site-1'])('tokens of %s issued before a clock was set back: refused', async (name) => {
    const parts = await federation();
    const tokens = parts.registry.find(name)?.tokens ?? [];
    const issuedAt = new Date(parts.clock.now().getTime() + parts.options.policy.clock_leeway);
    const issued = (at: Date): void =>
      parts.registry.update(name, { tokens: tokens.map((token) => ({ ...token, issuedAt: at })) });
    issued(new Date(issuedAt.getTime() + 1));
    await submit(parts, 'job-1', both);
    expect((await admit(parts, 'job-1')).reasons).toMatchObject([
      { code: 'PARTICIPANT_NOT_ADMISSIBLE', participant: name },
      { code: 'TOKEN_NOT_YET_VALID', participant: name, namespace: 'x-a' },
    ]);
    expect(parts.commands.sent).toEqual([]);
    issued(issuedAt);
    expect((await admit(parts, 'job-1')).phase).toBe('admitted');
  });

  it('nobody: refused', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', []);
    expect(codes((await admit(parts, 'job-1')).reasons)).toEqual(['JOB_NO_PARTICIPANTS']);
  });

  it('names everybody that is refused, the server too', async () => {
    const parts = await federation();
    parts.registry.refuse('server', reason('ATTESTATION_EXPIRED', { namespace: 'x-a' }));
    parts.registry.refuse('site-2', reason('PARTICIPANT_SILENT'));
    await submit(parts, 'job-1', ['site-1', 'site-2', 'nobody']);
    const { reasons } = await admit(parts, 'job-1');
    expect(reasons.map(({ code, participant }) => `${participant} ${code}`)).toEqual([
      'server PARTICIPANT_NOT_ADMISSIBLE',
      'server ATTESTATION_EXPIRED',
      'site-2 PARTICIPANT_NOT_ADMISSIBLE',
      'site-2 PARTICIPANT_SILENT',
      'nobody PARTICIPANT_NOT_ADMISSIBLE',
      'nobody PARTICIPANT_UNKNOWN',
    ]);
  });
});

describe('the check of the sites', () => {
  it('asks every site about the server and everybody, and permits when all say yes', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', both);
    const job = await admit(parts, 'job-1');
    const asked = parts.commands.sent.flatMap(({ action }) =>
      action.$case === 'checkJob' ? [action.value] : [],
    );
    expect(asked).toHaveLength(2);
    expect(asked[0]?.dryRun).toBe(false);
    expect(asked[0]?.deadline).toEqual(new Date(Date.parse('2026-01-01T00:00:00Z') + checkTimeoutMs));
    expect(asked[0]?.participants.map(({ participant, server }) => [participant, server])).toEqual([
      ['server', true],
      ['site-1', false],
      ['site-2', false],
    ]);
    expect(asked[0]?.participants.every(({ digests }) => digests[0]?.length === 32)).toBe(true);
    const permit = await verifyPermit(job.permit, {
      keys: async () => createPublicKey(testSigner.key),
      issuer: testSigner.issuer,
      trustDomain: testSigner.trustDomain,
      at: parts.clock.now(),
    });
    expect(permit).toMatchObject({ jobId: 'job-1', generation: 1 });
    expect(permit.participants.map(({ name }) => name)).toEqual(['server', ...both]);
    expect(await audited(parts)).toEqual(['job.submit job-1 done', 'job.admission job-1 allowed']);
  });

  it('counts silence as no, and reports every site that refused or kept silent', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', ['site-1', 'site-2', 'site-3']);
    const decision = parts.admission.admit('job-1', operator);
    await parts.clock.advance(0);
    await parts.admission.siteEvents.onJobCheck(speaker('site-1'), 'job-1', 1, true, []);
    await parts.admission.siteEvents.onJobCheck(speaker('site-2'), 'job-1', 1, false, [
      reason('SERVER_UNPROVEN', { participant: 'server' }),
    ]);
    await parts.clock.advance(checkTimeoutMs);
    const { state } = await decision;
    expect(state.phase).toBe('blocked');
    expect(codes(state.reasons)).toEqual(['JOB_CHECK_REFUSED', 'SERVER_UNPROVEN', 'JOB_CHECK_TIMEOUT']);
    expect(parts.commands.of('permitJob')).toEqual([]);
  });

  it('counts a check that the agent does not understand as no', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', ['site-1']);
    const decision = parts.admission.admit('job-1', operator);
    await parts.clock.advance(0);
    await parts.commands.answer('site-1', 'checkJob', 'REJECTED', [reason('COMMAND_NOT_UNDERSTOOD')]);
    expect((await decision).state.phase).toBe('blocked');
  });

  it('looks at every standing again at the moment of admission', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', both);
    const decision = parts.admission.admit('job-1', operator);
    await parts.clock.advance(0);
    await parts.admission.siteEvents.onJobCheck(speaker('site-1'), 'job-1', 1, true, []);
    parts.registry.refuse('site-1', reason('ATTESTATION_EXPIRED'));
    await parts.admission.siteEvents.onJobCheck(speaker('site-2'), 'job-1', 1, true, []);
    const { state } = await decision;
    expect(state.phase).toBe('blocked');
    expect(codes(state.reasons)).toContain('ATTESTATION_EXPIRED');
    expect(parts.commands.of('permitJob')).toEqual([]);
  });

  it('gives two callers the same decision, and a blocked job another chance', async () => {
    const parts = await federation();
    parts.registry.refuse('site-1', reason('PARTICIPANT_SILENT'));
    await submit(parts, 'job-1', ['site-1']);
    expect((await admit(parts, 'job-1')).phase).toBe('blocked');
    parts.registry.refuse('site-1');
    const first = parts.admission.admit('job-1', operator);
    const second = parts.admission.admit('job-1', operator);
    await parts.clock.advance(0);
    await parts.admission.siteEvents.onJobCheck(speaker('site-1'), 'job-1', 1, true, []);
    expect((await first).state).toEqual((await second).state);
    expect(parts.commands.of('permitJob')).toHaveLength(1);
  });

  it('lets a caller that went away go, and decides all the same', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', ['site-1']);
    const caller = new AbortController();
    const decision = parts.admission.admit('job-1', operator, caller.signal);
    await parts.clock.advance(0);
    caller.abort(new Error('gone'));
    await expect(decision).rejects.toThrow('gone');
    await parts.clock.advance(checkTimeoutMs);
    expect((await stateOf(parts, 'job-1')).phase).toBe('blocked');
  });
});

describe('acceptance row 13: integration code that throws or times out blocks the job', () => {
  it('a registry that throws', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', both);
    parts.registry.onStanding = () => {
      throw new Error('a mistake');
    };
    const job = await admit(parts, 'job-1');
    expect(job.phase).toBe('blocked');
    expect(codes(job.reasons)).toContain('INTERNAL');
  });

  it('commands that cannot be written', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', both);
    parts.commands.onEnqueue = () => {
      throw new Error('a mistake');
    };
    expect((await admit(parts, 'job-1')).phase).toBe('blocked');
    expect(parts.commands.sent).toEqual([]);
  });

  it('a permit that cannot be written', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', ['site-1']);
    parts.commands.onEnqueue = (_participant, { $case }) => {
      if ($case === 'permitJob') throw new Error('a mistake');
    };
    expect(await admit(parts, 'job-1')).toMatchObject({ phase: 'blocked', permit: '' });
  });

  it('a site that refuses its permit', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', both);
    await admit(parts, 'job-1');
    await parts.commands.answer('site-2', 'permitJob', 'REJECTED', [reason('PERMIT_INVALID')]);
    expect(await stateOf(parts, 'job-1')).toMatchObject({ phase: 'stopping', permit: '' });
    expect(parts.commands.of('stopJob')).toEqual(['site-1 job-1/1', 'site-2 job-1/1']);
  });
});

describe('acceptance row 17: custom code', () => {
  it('blocks a BYOC job, its clone, and its admission, for good', async () => {
    const parts = await federation();
    expect(await submit(parts, 'job-1', both, true)).toMatchObject({ phase: 'blocked', barred: true });
    const { state } = await parts.admission.clone('job-1', { id: 'job-2', submitter: operator });
    expect(state).toMatchObject({ phase: 'blocked', clonedFrom: 'job-1' });
    expect(state.reasons[0]?.message).toContain('BYOC job not allowed for CC');
    expect(codes((await admit(parts, 'job-2')).reasons)).toEqual(['JOB_BYOC']);
    expect(parts.commands.sent).toEqual([]);
  });

  it('blocks at admission what an earlier policy let in', async () => {
    const parts = await federation({ policy: { byoc: true } });
    expect((await submit(parts, 'job-1', both, true)).phase).toBe('submitted');
    const strict = new Admission({ ...parts.options, policy: { ...parts.options.policy, byoc: false } });
    const { state } = await strict.admit('job-1', operator);
    expect(state).toMatchObject({ phase: 'blocked', barred: true });
  });

  it('admits it where the policy allows it', async () => {
    const parts = await federation({ policy: { byoc: true } });
    await submit(parts, 'job-1', both, true);
    expect((await admit(parts, 'job-1')).phase).toBe('admitted');
  });
});

describe('a permit that nobody uses', () => {
  const report = (parts: Federation, site: string): Promise<void> =>
    parts.admission.siteEvents.onJobReport(speaker(site), 'job-1', 1, 'RUNNING', 0, []);

  async function admitted(): Promise<Federation & { readonly expiresInMs: number }> {
    const parts = await federation();
    await submit(parts, 'job-1', both);
    const { permit } = await admit(parts, 'job-1');
    const expiresInMs = expiryOfPermit(permit).getTime() - parts.clock.now().getTime();
    for (const site of both) parts.leases.set(site, Infinity);
    return { ...parts, expiresInMs };
  }

  it('ends the job when it expires, and not before', async () => {
    const parts = await admitted();
    await parts.clock.advance(parts.expiresInMs - 1);
    expect((await stateOf(parts, 'job-1')).phase).toBe('admitted');
    await parts.clock.advance(1);
    const { phase, reasons } = await stateOf(parts, 'job-1');
    expect([phase, codes(reasons)]).toEqual(['stopping', ['JOB_PERMIT_UNUSED']]);
    expect(parts.commands.of('stopJob')).toEqual(['site-1 job-1/1', 'site-2 job-1/1']);
  });

  it('ends the part of a site that is late, and nothing of one that runs', async () => {
    const parts = await admitted();
    await report(parts, 'site-1');
    await parts.clock.advance(parts.expiresInMs);
    expect((await stateOf(parts, 'job-1')).phase).toBe('running');
    expect(parts.commands.of('stopJob')).toEqual(['site-2 job-1/1']);
  });

  it('means nothing when a framework has said that the job runs', async () => {
    const parts = await admitted();
    await parts.admission.report('job-1', { generation: 1, run: 'running', reasons: [] }, operator);
    await parts.clock.advance(parts.expiresInMs);
    expect((await stateOf(parts, 'job-1')).phase).toBe('running');
    expect(parts.commands.of('stopJob')).toEqual([]);
  });

  it('is not forgotten by a restart', async () => {
    const parts = await admitted();
    const restarted = new Admission({ ...parts.options, commands: new FakeCommands() });
    await restarted.start();
    await parts.clock.advance(parts.expiresInMs);
    expect((await stateOf(parts, 'job-1')).phase).toBe('stopping');
  });
});

describe('a running job', () => {
  it('runs from the first site on, and completes with the last', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', both);
    await admit(parts, 'job-1');
    const report = (site: string, state: 'RUNNING' | 'COMPLETED'): Promise<void> =>
      parts.admission.siteEvents.onJobReport(speaker(site), 'job-1', 1, state, 0, []);
    await report('site-1', 'RUNNING');
    expect((await stateOf(parts, 'job-1')).phase).toBe('running');
    await report('site-1', 'COMPLETED');
    await report('site-2', 'RUNNING');
    expect((await stateOf(parts, 'job-1')).phase).toBe('running');
    await report('site-2', 'COMPLETED');
    expect((await stateOf(parts, 'job-1')).phase).toBe('completed');
    expect(parts.admission.siteEvents.permitsOf('site-1')).toEqual([]);
  });

  it('has failed when all have ended and one failed', async () => {
    const parts = await federation();
    await running(parts, 'job-1', both);
    await parts.admission.siteEvents.onJobReport(speaker('site-1'), 'job-1', 1, 'FAILED', 137, []);
    expect((await stateOf(parts, 'job-1')).phase).toBe('running');
    await parts.admission.siteEvents.onJobReport(speaker('site-2'), 'job-1', 1, 'COMPLETED', 0, []);
    const job = await stateOf(parts, 'job-1');
    expect(job.phase).toBe('failed');
    expect(job.sites['site-1']).toMatchObject({ run: 'failed', exitCode: 137 });
  });

  it('is stopped once, and only when every site has confirmed', async () => {
    const parts = await federation();
    await running(parts, 'job-1', both);
    await parts.admission.stop('job-1', [reason('JOB_STOPPED_BY_OPERATOR')], operator);
    await parts.admission.stop('job-1', [reason('JOB_STOPPED_BY_OPERATOR')], operator);
    expect(parts.commands.of('stopJob')).toEqual(['site-1 job-1/1', 'site-2 job-1/1']);
    await parts.commands.answer('site-1', 'stopJob', 'RECEIVED');
    await parts.commands.answer('site-1', 'stopJob');
    await parts.commands.answer('site-2', 'stopJob', 'FAILED', [reason('JOB_STOP_INCOMPLETE')]);
    expect((await stateOf(parts, 'job-1')).phase).toBe('stopping');
    await parts.admission.siteEvents.onJobReport(speaker('site-2'), 'job-1', 1, 'STOPPED', 0, []);
    expect((await stateOf(parts, 'job-1')).phase).toBe('stopped');
  });

  it('is stopped by the lease of a site that cannot answer, and not before it has certainly ended', async () => {
    const parts = await federation();
    await running(parts, 'job-1', both);
    parts.leases.set('site-2', 20_000);
    await parts.admission.stop('job-1', [reason('JOB_STOPPED_BY_OPERATOR')], operator);
    await parts.commands.answer('site-1', 'stopJob');
    await parts.clock.advance(19_000);
    expect((await stateOf(parts, 'job-1')).phase).toBe('stopping');
    parts.leases.set('site-2', 40_000);
    await parts.clock.advance(20_000);
    expect((await stateOf(parts, 'job-1')).phase).toBe('stopping');
    await parts.clock.advance(3_600_000);
    expect(await stateOf(parts, 'job-1')).toMatchObject({
      phase: 'stopped',
      sites: { 'site-1': { endedByLease: false }, 'site-2': { run: 'stopped', endedByLease: true } },
    });
  });

  it('waits for the first lease of a site that holds none when it is permitted', async () => {
    const parts = await federation();
    parts.leases.delete('site-1');
    await submit(parts, 'job-1', ['site-1']);
    expect(await admit(parts, 'job-1')).toMatchObject({ phase: 'admitted' });
    await parts.clock.advance(longestLeaseMs - 1);
    expect(await stateOf(parts, 'job-1')).toMatchObject({ phase: 'admitted' });
    await parts.clock.advance(1);
    expect(await stateOf(parts, 'job-1')).toMatchObject({ sites: { 'site-1': { endedByLease: true } } });
  });

  it('counts a removed site as ended only when a lease granted until then has ended', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-1']);
    await parts.store.transaction((tx) => parts.registry.remove(tx, 'site-1'));
    parts.leases.delete('site-1');
    await parts.admission.stopJobsOf('site-1', 'all_sites', [reason('PARTICIPANT_REMOVED')], operator);
    await parts.clock.advance(longestLeaseMs - 1);
    expect((await stateOf(parts, 'job-1')).phase).toBe('stopping');
    await parts.clock.advance(3_600_000);
    expect((await stateOf(parts, 'job-1')).phase).toBe('stopped');
  });

  it('goes on without a site whose part alone is taken back', async () => {
    const parts = await federation();
    await running(parts, 'job-1', both);
    await parts.admission.stopJobsOf('site-2', 'own_site', [reason('PARTICIPANT_QUARANTINED')], operator);
    await parts.commands.answer('site-2', 'stopJob');
    expect(parts.commands.of('stopJob')).toEqual(['site-2 job-1/1']);
    expect((await stateOf(parts, 'job-1')).phase).toBe('running');
    expect(parts.admission.siteEvents.permitsOf('site-2')).toEqual([]);
    expect(parts.admission.siteEvents.permitsOf('site-1')).toMatchObject([{ jobId: 'job-1', generation: 1 }]);
  });
});

describe('what a site says in a session that is not its newest', () => {
  it('changes nothing', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-1']);
    await parts.store.transaction((tx) => updateParticipant(tx, 'site-1', { epoch: 1 }));
    const { siteEvents } = parts.admission;
    const old = speaker('site-1');
    const said = [
      siteEvents.onJobReport(old, 'job-1', 1, 'COMPLETED', 0, []),
      siteEvents.onRunningJobs(old, [{ jobId: 'job-1', generation: 9 }]),
      parts.commands.answer('site-1', 'permitJob', 'REJECTED', [reason('LEASE_EXPIRED')]),
    ];
    const codesOf = said.map((each) => each.catch(({ code }: MusterError) => code));
    expect(await Promise.all(codesOf)).toEqual(['SESSION_FENCED', 'SESSION_FENCED', 'SESSION_FENCED']);
    expect((await stateOf(parts, 'job-1')).phase).toBe('running');
    expect(parts.commands.of('stopJob')).toEqual([]);
  });
});

describe('what a site runs without a permit', () => {
  it('is stopped when the server does not know the job', async () => {
    const parts = await federation();
    await parts.admission.siteEvents.onJobReport(speaker('site-1'), 'ghost', 4, 'RUNNING', 0, []);
    await parts.admission.siteEvents.onRunningJobs(speaker('site-1'), [{ jobId: 'ghost-2', generation: 1 }]);
    expect(parts.commands.of('stopJob')).toEqual(['site-1 ghost/4', 'site-1 ghost-2/1']);
  });

  it('is stopped when the site is none of the job, or the job has ended', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-1']);
    await parts.admission.siteEvents.onJobReport(speaker('site-2'), 'job-1', 1, 'RUNNING', 0, []);
    await parts.admission.siteEvents.onJobReport(speaker('site-1'), 'job-1', 1, 'COMPLETED', 0, []);
    await parts.admission.siteEvents.onRunningJobs(speaker('site-1'), [{ jobId: 'job-1', generation: 1 }]);
    expect(parts.commands.of('stopJob')).toEqual(['site-2 job-1/1', 'site-1 job-1/1']);
  });

  it('does not come to be admitted', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', both);
    const decision = parts.admission.admit('job-1', operator);
    await parts.clock.advance(0);
    await parts.admission.siteEvents.onJobReport(speaker('site-1'), 'job-1', 1, 'RUNNING', 0, []);
    expect((await decision).state.phase).toBe('blocked');
    expect((await admit(parts, 'job-1')).generation).toBe(2);
  });

  it('must be explained when it is gone', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-1']);
    await running(parts, 'job-2', ['site-1']);
    await parts.admission.siteEvents.onRunningJobs(speaker('site-1'), []);
    await parts.admission.siteEvents.onJobReport(speaker('site-1'), 'job-2', 1, 'COMPLETED', 0, []);
    await parts.clock.advance(10_000);
    expect(await stateOf(parts, 'job-1')).toMatchObject({ phase: 'failed' });
    expect(codes((await stateOf(parts, 'job-1')).reasons)).toEqual(['JOB_SUPERVISION_LOST']);
    expect((await stateOf(parts, 'job-2')).phase).toBe('completed');
  });
});

describe('a restart of the server', () => {
  it('blocks what was being checked and goes on with the rest', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-1']);
    await submit(parts, 'job-2', ['site-2']);
    parts.admission.admit('job-2', operator).catch(() => undefined);
    await parts.clock.advance(0);
    const again = new Admission(parts.options);
    await again.start();
    expect(codes((await again.get('job-2')).state.reasons)).toEqual(['JOB_CHECK_INTERRUPTED']);
    expect(again.siteEvents.permitsOf('site-1')).toMatchObject([{ jobId: 'job-1' }]);
  });

  it('does not believe that a lease of the earlier process has ended', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-1']);
    const again = new Admission({ ...parts.options, leaseEndsAt: () => 0 });
    await again.start();
    await parts.clock.advance(longestLeaseMs - 1);
    expect((await again.get('job-1')).state.phase).toBe('running');
    await parts.clock.advance(1);
    expect((await again.get('job-1')).state).toMatchObject({
      phase: 'stopped',
      sites: { 'site-1': { endedByLease: true } },
    });
  });

  it('stops the jobs of a site that was barred before the stop was written', async () => {
    const parts = await federation();
    await running(parts, 'job-1', both);
    await parts.store.transaction((tx) =>
      parts.registry.quarantine(tx, 'site-2', [reason('OPERATOR_QUARANTINE')]),
    );
    const again = new Admission(parts.options);
    await again.start();
    expect(parts.commands.of('stopJob')).toEqual(['site-1 job-1/1', 'site-2 job-1/1']);
  });
});

describe('a dry run', () => {
  it('asks the sites and has no effect on the job', async () => {
    const parts = await federation();
    const before = await submit(parts, 'job-1', both);
    const answer = parts.admission.dryRun(before.spec, operator);
    await parts.clock.advance(0);
    for (const { participant, action } of parts.commands.sent.slice()) {
      if (action.$case !== 'checkJob') continue;
      expect(action.value).toMatchObject({ dryRun: true });
      expect(action.value.jobId).toMatch(/^dry-run\.[0-9a-f-]+$/);
      await parts.admission.siteEvents.onJobCheck(
        speaker(participant),
        action.value.jobId,
        1,
        participant === 'site-1',
        [],
      );
    }
    expect(await answer).toMatchObject({
      admitted: false,
      reasons: [{ code: 'JOB_CHECK_REFUSED', participant: 'site-2' }],
      sites: { 'site-1': { check: 'accepted' }, 'site-2': { check: 'refused' } },
    });
    expect(await stateOf(parts, 'job-1')).toEqual(before);
    expect(parts.commands.of('permitJob')).toEqual([]);
  });

  it('says yes when all say yes, and no by silence', async () => {
    const parts = await federation();
    const spec = { participants: ['site-1'], byoc: false, name: '' };
    const silent = parts.admission.dryRun(spec, operator);
    await parts.clock.advance(checkTimeoutMs);
    expect(codes((await silent).reasons)).toEqual(['JOB_CHECK_TIMEOUT']);
    const answered = parts.admission.dryRun(spec, operator);
    await parts.clock.advance(0);
    const { action } = parts.commands.sent.at(-1) ?? {};
    const jobId = action?.$case === 'checkJob' ? action.value.jobId : '';
    await parts.admission.siteEvents.onJobCheck(speaker('site-1'), jobId, 1, true, []);
    expect(await answered).toMatchObject({ admitted: true, reasons: [] });
  });

  it('refuses what the server refuses, without asking anybody', async () => {
    const parts = await federation();
    const { admitted, reasons } = await parts.admission.dryRun(
      { participants: ['site-1'], byoc: true, name: '' },
      operator,
    );
    expect([admitted, codes(reasons)]).toEqual([false, ['JOB_BYOC']]);
    expect(parts.commands.sent).toEqual([]);
  });
});

describe('registration', () => {
  it('is idempotent for the same job and refuses another under its id', async () => {
    const parts = await federation();
    const first = await submit(parts, 'job-1', both);
    expect(await submit(parts, 'job-1', both)).toEqual(first);
    await expect(submit(parts, 'job-1', ['site-3'])).rejects.toMatchObject({ code: 'JOB_EXISTS' });
    await expect(parts.admission.clone('ghost', { id: 'x', submitter: operator })).rejects.toBeInstanceOf(
      MusterError,
    );
  });
});

describe('a framework that runs the processes itself', () => {
  it('reports running and completed; what sites hold is taken back', async () => {
    const parts = await federation();
    await submit(parts, 'job-1', both);
    await admit(parts, 'job-1');
    const report = (run: 'running' | 'completed', generation = 1): Promise<unknown> =>
      parts.admission.report('job-1', { generation, run, reasons: [] }, operator);
    await expect(report('running', 2)).rejects.toMatchObject({ code: 'JOB_STATE' });
    await report('running');
    expect((await stateOf(parts, 'job-1')).phase).toBe('running');
    await report('completed');
    await report('completed');
    expect(await stateOf(parts, 'job-1')).toMatchObject({ phase: 'completed', permit: '' });
    expect(parts.commands.of('stopJob')).toEqual(['site-1 job-1/1', 'site-2 job-1/1']);
    expect(parts.commands.sent.at(-1)?.action).toMatchObject({
      $case: 'stopJob',
      value: { reasons: [{ code: 'JOB_ENDED_BY_FRAMEWORK' }] },
    });
    await expect(report('running')).rejects.toMatchObject({ code: 'JOB_STATE' });
  });
});
