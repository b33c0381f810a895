import { describe, expect, it } from '@jest/globals';
import { reason } from '@muster/shared/reasons.js';
import {
  codes,
  federation,
  operator,
  running,
  stateOf,
  submit,
  type Federation,
} from '../../support/job-federation.js';

const request = { actor: operator, reasons: [reason('OPERATOR_SHUTDOWN')], deadlineMs: 20_000 };

async function stopAndShutDown({ commands, clock }: Federation, site: string): Promise<void> {
  await commands.answer(site, 'stopJob');
  await clock.advance(0);
}

describe('a shutdown', () => {
  it('stops all jobs, then all agents, then the server, with an acknowledgement per site', async () => {
    const parts = await federation({ sites: ['site-1', 'site-2'] });
    await running(parts, 'job-1', ['site-1', 'site-2']);
    const outcome = parts.shutdown.run(request);
    await parts.clock.advance(0);
    expect(parts.commands.of('stopJob')).toEqual(['site-1 job-1/1', 'site-2 job-1/1']);
    expect(parts.commands.of('shutdown')).toEqual([]);
    await stopAndShutDown(parts, 'site-1');
    await stopAndShutDown(parts, 'site-2');
    expect((await stateOf(parts, 'job-1')).phase).toBe('stopped');
    expect(parts.commands.of('shutdown')).toEqual(['site-1', 'site-2']);
    await parts.commands.answer('site-1', 'shutdown');
    expect(parts.ended.count).toBe(0);
    await parts.commands.answer('site-2', 'shutdown', 'FAILED', [reason('JOB_STOP_INCOMPLETE')]);
    expect(await outcome).toMatchObject([
      { participant: 'site-1', acknowledged: true, reasons: [] },
      { participant: 'site-2', acknowledged: false, reasons: [{ code: 'JOB_STOP_INCOMPLETE' }] },
    ]);
    await parts.clock.advance(0);
    expect(parts.ended.count).toBe(1);
  });

  it('ends at its deadline whatever sites do, and names those that did not confirm', async () => {
    const parts = await federation({ sites: ['site-1', 'site-2'] });
    await running(parts, 'job-1', ['site-1']);
    const outcome = parts.shutdown.run(request);
    await parts.clock.advance(10_000);
    expect(parts.commands.of('shutdown')).toEqual(['site-1', 'site-2']);
    await parts.commands.answer('site-2', 'shutdown');
    await parts.clock.advance(10_000);
    const [first, second] = await outcome;
    expect([first?.acknowledged, codes(first?.reasons ?? [])]).toEqual([false, ['COMMAND_TIMEOUT']]);
    expect(second?.acknowledged).toBe(true);
  });

  it('does not wait for a site that is gone and holds no lease', async () => {
    const parts = await federation({ sites: ['site-1'] });
    parts.registry.update('site-1', { connected: false });
    parts.leases.set('site-1', 0);
    const [site] = await parts.shutdown.run(request);
    expect(site?.acknowledged).toBe(false);
  });

  it('happens once, and refuses jobs from its beginning', async () => {
    const parts = await federation({ sites: ['site-1'] });
    await submit(parts, 'job-1', ['site-1']);
    const checking = parts.admission.admit('job-1', operator);
    await parts.clock.advance(0);
    const first = parts.shutdown.run(request);
    expect(parts.shutdown.underWay).toBe(true);
    expect(parts.shutdown.run(request)).toBe(first);
    await expect(submit(parts, 'job-2', ['site-1'])).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await expect(parts.admission.admit('job-1', operator)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await parts.clock.advance(20_000);
    expect((await checking).state.phase).toBe('blocked');
    await first;
    expect(parts.commands.of('permitJob')).toEqual([]);
    expect(parts.commands.of('shutdown')).toEqual(['site-1']);
  });
});
