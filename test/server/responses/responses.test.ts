import { describe, expect, it } from '@jest/globals';
import { reason } from '@muster/shared/reasons.js';
import { presets } from '@muster/shared/policy/responses.js';
import { admit, audited, codes, federation, running, stateOf, submit } from '../../support/job-federation.js';

const expired = [reason('ATTESTATION_EXPIRED', { participant: 'site-2', namespace: 'x-a' })];

describe('acceptance row 15: one refusing site', () => {
  it('is quarantined, and other jobs go on', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-1', 'site-2']);
    await running(parts, 'job-2', ['site-1', 'site-3']);
    await submit(parts, 'job-3', ['site-1', 'site-2']);
    const job = await admit(parts, 'job-3', { 'site-2': [reason('SERVER_UNPROVEN')] });
    await parts.clock.advance(0);
    expect(job.phase).toBe('blocked');
    expect(codes(parts.registry.find('site-2')?.quarantine ?? [])).toContain('JOB_CHECK_REFUSED');
    expect((await stateOf(parts, 'job-2')).phase).toBe('running');
    expect((await stateOf(parts, 'job-1')).sites).toMatchObject({
      'site-1': { run: 'running' },
      'site-2': { run: 'stopping' },
    });
    expect(parts.commands.of('stopJob')).toEqual(['site-2 job-1/1']);
  });
});

describe('acceptance row 16: duplicate reports of a failure', () => {
  it('stop a job exactly once', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-1', 'site-2']);
    const failure = { kind: 'token_expired', participant: 'site-2', reasons: expired } as const;
    await Promise.all([1, 2, 3].map(() => parts.responses.report(failure)));
    await parts.responses.report({ ...failure, kind: 'silent', reasons: [reason('PARTICIPANT_SILENT')] });
    expect(parts.commands.of('stopJob')).toEqual(['site-1 job-1/1', 'site-2 job-1/1']);
    const log = await audited(parts);
    expect(log.filter((line) => line === 'job.stop job-1 done')).toHaveLength(1);
    expect(log.filter((line) => line === 'failure.answer site-2 done')).toHaveLength(2);
  });
});

describe('responses', () => {
  it('answer the same failure again once it has recovered', async () => {
    const parts = await federation();
    const failure = { kind: 'token_expired', participant: 'site-2', reasons: expired } as const;
    parts.registry.refuse('site-2', ...expired);
    await running(parts, 'job-1', ['site-1']);
    await parts.responses.report(failure);
    parts.registry.update('site-2', { connected: false });
    await parts.responses.report(failure);
    parts.registry.refuse('site-2');
    await running(parts, 'job-2', ['site-2']);
    await parts.responses.report(failure);
    const log = await audited(parts);
    expect(log.filter((line) => line === 'failure.answer site-2 done')).toHaveLength(2);
    expect(parts.commands.of('stopJob')).toEqual(['site-2 job-2/1']);
  });

  it('answer silence again once the site has been heard', async () => {
    const parts = await federation();
    const failure = {
      kind: 'silent',
      participant: 'site-2',
      reasons: [reason('PARTICIPANT_SILENT')],
    } as const;
    parts.registry.refuse('site-2', ...expired);
    parts.registry.update('site-2', { silent: true });
    await parts.responses.report(failure);
    await parts.responses.report(failure);
    parts.registry.update('site-2', { silent: false });
    await parts.responses.report(failure);
    expect((await audited(parts)).filter((line) => line.startsWith('failure.answer'))).toHaveLength(2);
  });

  it('answer everything anew after a readmission', async () => {
    const parts = await federation();
    const failure = { kind: 'evidence_rejected', participant: 'site-2', reasons: expired } as const;
    parts.registry.refuse('site-2', ...expired);
    await parts.responses.report(failure);
    await parts.store.transaction((tx) => parts.registry.readmit(tx, 'site-2'));
    await parts.responses.report(failure);
    expect((await audited(parts)).filter((line) => line.startsWith('participant.quarantine'))).toHaveLength(
      2,
    );
  });

  it('only record what the policy warns of', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-2']);
    await parts.responses.report({ kind: 'attester_failed', participant: 'site-2', reasons: expired });
    expect(parts.commands.of('stopJob')).toEqual([]);
    expect(parts.registry.find('site-2')?.quarantine).toBeUndefined();
  });

  it('end every job when the server is unproven', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-1']);
    await running(parts, 'job-2', ['site-2']);
    await parts.responses.report({ kind: 'server_unproven', participant: 'server', reasons: expired });
    expect(parts.commands.of('stopJob')).toEqual(['site-1 job-1/1', 'site-2 job-2/1']);
  });

  it('shut the system down where the policy says so', async () => {
    const parts = await federation({ policy: { responses: presets.SHUTDOWN_SYSTEM } });
    const answered = parts.responses.report({ kind: 'silent', participant: 'site-2', reasons: expired });
    await parts.clock.advance(60_000);
    await answered;
    expect(parts.shutdown.underWay).toBe(true);
    expect(parts.ended.count).toBe(1);
  });

  it('are carried out later when the store fails at first', async () => {
    const parts = await federation();
    await running(parts, 'job-1', ['site-2']);
    const { onEnqueue } = parts.commands;
    parts.commands.onEnqueue = () => {
      throw new Error('disk full');
    };
    await parts.responses.report({ kind: 'token_expired', participant: 'site-2', reasons: expired });
    expect((await stateOf(parts, 'job-1')).phase).toBe('running');
    parts.commands.onEnqueue = onEnqueue;
    await parts.clock.advance(5_000);
    expect(parts.commands.of('stopJob')).toEqual(['site-2 job-1/1']);
  });

  it('let go of a participant that was removed meanwhile', async () => {
    const parts = await federation();
    await parts.store.transaction((tx) => parts.registry.remove(tx, 'site-2'));
    const timers = parts.clock.timers;
    await parts.responses.report({ kind: 'evidence_rejected', participant: 'site-2', reasons: expired });
    expect(parts.clock.timers).toBe(timers);
  });
});
