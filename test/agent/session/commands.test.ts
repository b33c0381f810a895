import { describe, expect, it } from '@jest/globals';
import { refusal } from '@muster/shared/errors.js';
import {
  CommandOutcome,
  GoodbyeReason,
  ResumeMode,
  SiteJobState,
} from '@muster/shared/gen/muster/v1/agent.js';
import { reason } from '@muster/shared/reasons.js';
import { checkJob } from '../../support/check-job.js';
import { eventually } from '../../support/mailbox.js';
import { outcomeOf, sendCommand, stopJob, useSites } from '../../support/use-sites.js';

const sites = useSites();

describe('commands', () => {
  it('are applied once, however often they come', async () => {
    const { site, stream } = await sites.open();
    for (let times = 0; times < 3; times += 1) sendCommand(stream, 1n, stopJob('job-1'));
    await outcomeOf(stream, 1n);
    sendCommand(stream, 1n, stopJob('job-1'));
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
    expect(site.jobs.stops).toHaveLength(1);
  });

  it('are done only when their effect holds', async () => {
    const { site, stream } = await sites.open();
    let gone: () => void = () => undefined;
    site.jobs.ending = new Promise((resolve) => (gone = () => resolve({ stopped: true })));
    sendCommand(stream, 1n, stopJob('job-1'));
    expect((await stream.next('commandAck')).outcome).toBe(CommandOutcome.RECEIVED);
    expect(stream.inbox.waiting.some(({ $case }) => $case === 'commandAck')).toBe(false);
    gone();
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
  });

  it('that fail say so, and are tried again when they come again', async () => {
    const { site, stream } = await sites.open();
    site.jobs.ending = Promise.resolve({ stopped: false, reasons: [reason('JOB_STOP_INCOMPLETE')] });
    sendCommand(stream, 1n, stopJob('job-1'));
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.FAILED, 'JOB_STOP_INCOMPLETE']);
    site.jobs.ending = Promise.resolve({ stopped: true });
    sendCommand(stream, 1n, stopJob('job-1'));
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
  });

  it('to stop overtake a check that hangs', async () => {
    const { site, stream } = await sites.open();
    const check = await checkJob(sites.server, site);
    sites.server.answers.getTokens = () => undefined;
    sendCommand(stream, 1n, check);
    sendCommand(stream, 2n, stopJob('job-1'));
    expect(await outcomeOf(stream, 2n)).toEqual([CommandOutcome.APPLIED]);
    expect(stream.inbox.waiting.some(({ $case }) => $case === 'jobCheck')).toBe(false);
    await site.clock.advance(30_000);
    const { accepted, reasons } = await stream.next('jobCheck');
    expect([accepted, reasons[0]?.code]).toEqual([false, 'JOB_CHECK_TIMEOUT']);
  });

  it('of an unknown kind are rejected, and the rest goes on', async () => {
    const { stream } = await sites.open();
    sendCommand(stream, 1n, undefined);
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.REJECTED, 'COMMAND_NOT_UNDERSTOOD']);
    sendCommand(stream, 2n, { $case: 'reattest', value: { namespaces: ['x-a'] } });
    expect(await outcomeOf(stream, 2n)).toEqual([CommandOutcome.APPLIED]);
  });

  it('renew the certificate, which is then used', async () => {
    const { site, stream } = await sites.open();
    sendCommand(stream, 1n, { $case: 'rotateCertificate', value: {} });
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
    await site.open();
    expect(await stream.next('goodbye')).toEqual({ reason: GoodbyeReason.HANDOVER });
  });

  it('say when a certificate could not be renewed', async () => {
    const { stream } = await sites.open();
    sites.server.answers.renewCertificate = () => Promise.reject(refusal('PARTICIPANT_QUARANTINED'));
    sendCommand(stream, 1n, { $case: 'rotateCertificate', value: {} });
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.FAILED, 'PARTICIPANT_QUARANTINED']);
  });

  it('shut the agent down after its jobs have ended and the server knows', async () => {
    const { site, stream } = await sites.open();
    site.jobs.run('job-1', 1n);
    sendCommand(stream, 1n, { $case: 'shutdown', value: { grace: undefined, reasons: [] } });
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
    await eventually(() => site.shutDown);
    expect(site.jobs.running()).toEqual([]);
  });
});

describe('the desired state', () => {
  it('ends whatever runs beside it, and then stands for the commands that it includes', async () => {
    const site = await sites.start();
    site.jobs.run('known', 2n);
    site.jobs.run('older', 1n);
    site.jobs.run('unknown', 5n);
    const stream = await site.open({ mode: ResumeMode.SNAPSHOT });
    const permits = [await site.permit('known', 2n, ['site-1']), await site.permit('older', 2n, ['site-1'])];
    stream.send({ $case: 'desiredState', value: { jobs: permits, throughSeq: 9n } });
    await eventually(() => site.session.state.log.cursor === 9n);
    expect(site.jobs.stops.map(({ jobId, upTo, reasons }) => [jobId, upTo, reasons[0]?.code])).toEqual([
      ['older', 1n, 'JOB_SUPERSEDED'],
      ['unknown', 5n, 'JOB_UNKNOWN_TO_SERVER'],
    ]);
    expect(site.jobs.running()).toEqual([{ jobId: 'known', generation: 2n }]);
  });

  it('starts nothing that this site has not agreed to, and says so', async () => {
    const site = await sites.start();
    const stream = await site.open({ mode: ResumeMode.SNAPSHOT });
    const permit = await site.permit('job-1', 1n, ['site-1']);
    stream.send({ $case: 'desiredState', value: { jobs: [permit], throughSeq: 1n } });
    await eventually(() => site.session.state.log.cursor === 1n);
    expect(site.jobs.permits).toEqual([]);
    expect(await stream.next('jobReport')).toMatchObject({
      jobId: 'job-1',
      generation: 1n,
      state: SiteJobState.FAILED,
      reasons: [{ code: 'JOB_NOT_ADMITTED' }],
    });
  });

  it('does not skip commands that are sent one by one', async () => {
    const { site, stream } = await sites.open();
    stream.send({ $case: 'desiredState', value: { jobs: [], throughSeq: 9n } });
    sendCommand(stream, 1n, stopJob('job-1'));
    await outcomeOf(stream, 1n);
    expect(site.session.state.log.cursor).toBe(1n);
  });
});
