import { describe, expect, it } from '@jest/globals';
import { generateKey } from '@muster/agent/enrolment/credential.js';
import { CommandOutcome } from '@muster/shared/gen/muster/v1/agent.js';
import { checkJob } from '../../support/check-job.js';
import type { FakeSession } from '../../support/fake-muster-server.js';
import { eventually } from '../../support/mailbox.js';
import type { Site } from '../../support/site.js';
import { outcomeOf, sendCommand, stopJob, useSites, type Action } from '../../support/use-sites.js';

const sites = useSites();

describe('a job check', () => {
  it('accepts when everybody is proven, and the permit then counts', async () => {
    const { site, stream } = await sites.open();
    sendCommand(stream, 1n, await checkJob(sites.server, site));
    expect(await stream.next('jobCheck')).toEqual({
      jobId: 'job-1',
      generation: 1n,
      accepted: true,
      reasons: [],
    });
    expect(await outcomeOf(stream, 1n)).toEqual([CommandOutcome.APPLIED]);
    const permit = await site.permit('job-1', 1n, ['server', 'site-1', 'site-2']);
    sendCommand(stream, 2n, { $case: 'permitJob', value: { permit } });
    expect(await outcomeOf(stream, 2n)).toEqual([CommandOutcome.APPLIED]);
    expect(site.jobs.permits).toMatchObject([{ jobId: 'job-1', generation: 1n, permit: permit.permit }]);
  });

  it('does not fetch or verify again what it has verified', async () => {
    const { site, stream } = await sites.open();
    const check = await checkJob(sites.server, site);
    sendCommand(stream, 1n, check);
    await stream.next('jobCheck');
    const { calls } = site.verifier;
    sites.server.answers.getTokens = () => {
      throw new Error('not expected');
    };
    sendCommand(stream, 2n, check);
    expect((await stream.next('jobCheck')).accepted).toBe(true);
    expect(site.verifier.calls).toBe(calls);
  });

  const refused: [string, (site: Site) => Promise<Action>, string[]][] = [
    [
      'one participant is bad',
      (site) => checkJob(sites.server, site, {}, { says: { tier: 'contraindicated' } }),
      ['SNP_REPORT_LENGTH site-2'],
    ],
    [
      "one participant's token has expired",
      (site) => checkJob(sites.server, site, {}, { issuedAt: new Date(Date.now() - 700_000) }),
      ['TOKEN_EXPIRED site-2'],
    ],
    [
      "one participant's token is for another audience",
      (site) => checkJob(sites.server, site, {}, { audience: 'spiffe://other.example' }),
      ['TOKEN_AUDIENCE_MISMATCH site-2'],
    ],
    [
      'tokens of a participant are missing',
      async (site) => {
        const check = await checkJob(sites.server, site);
        const { getTokens } = sites.server.answers;
        sites.server.answers.getTokens = (request) =>
          getTokens(request)?.filter(({ participant }) => participant !== 'site-2');
        return check;
      },
      ['JOB_CHECK_INCOMPLETE site-2', 'ATTESTATION_MISSING site-2'],
    ],
    [
      'the server calls a participant exempt that this site does not exempt',
      async (site) => {
        const check = await checkJob(sites.server, site);
        if (check.$case !== 'checkJob') return check;
        const participants = check.value.participants.map((entry) =>
          entry.participant === 'site-2' ? { ...entry, digests: [] } : entry,
        );
        return { ...check, value: { ...check.value, participants } };
      },
      ['JOB_CHECK_INCOMPLETE site-2', 'ATTESTATION_MISSING site-2'],
    ],
    [
      'nobody is named',
      (site) => checkJob(sites.server, site, { participants: [] }),
      ['JOB_CHECK_INCOMPLETE '],
    ],
    [
      'a participant is named twice',
      async (site) => {
        const check = await checkJob(sites.server, site);
        if (check.$case !== 'checkJob') return check;
        const { participants } = check.value;
        const again = participants.filter(({ participant }) => participant === 'site-2');
        return { ...check, value: { ...check.value, participants: [...participants, ...again] } };
      },
      ['JOB_CHECK_INCOMPLETE '],
    ],
    [
      'the server is not among them',
      async (site) => without(await checkJob(sites.server, site), 'server'),
      ['JOB_CHECK_INCOMPLETE '],
    ],
    [
      'this site is not among them',
      async (site) => without(await checkJob(sites.server, site), 'site-1'),
      ['JOB_CHECK_INCOMPLETE '],
    ],
    [
      'it comes too late',
      (site) => checkJob(sites.server, site, { deadline: site.clock.now() }),
      ['JOB_CHECK_TIMEOUT '],
    ],
    [
      'it has no deadline',
      (site) => checkJob(sites.server, site, { deadline: undefined }),
      ['JOB_CHECK_TIMEOUT '],
    ],
  ];

  function without(check: Action, name: string): Action {
    if (check.$case !== 'checkJob') return check;
    const participants = check.value.participants.filter(({ participant }) => participant !== name);
    return { ...check, value: { ...check.value, participants } };
  }

  it.each(refused)('refuses when %s', async (_what, make, expected) => {
    const { site, stream } = await sites.open();
    sendCommand(stream, 1n, await make(site));
    const { accepted, reasons } = await stream.next('jobCheck');
    expect(accepted).toBe(false);
    expect(reasons.map(({ code, participant }) => `${code} ${participant}`)).toEqual(expected);
    const permit = await site.permit('job-1', 1n, ['site-1', 'site-2']);
    sendCommand(stream, 2n, { $case: 'permitJob', value: { permit } });
    expect(await outcomeOf(stream, 2n)).toEqual([CommandOutcome.REJECTED, 'JOB_NOT_ADMITTED']);
    expect(site.jobs.permits).toEqual([]);
  });

  it("refuses by its own policy what the server's policy accepts", async () => {
    const policy = { sites: [{ name: 'site-1', require: ['x-a'] }] };
    const { site, stream } = await sites.open({ policy });
    sendCommand(stream, 1n, await checkJob(sites.server, site));
    const { accepted, reasons } = await stream.next('jobCheck');
    expect([accepted, reasons[0]?.code, reasons[0]?.participant]).toEqual([
      false,
      'POLICY_PARTICIPANT_UNLISTED',
      'site-2',
    ]);
  });

  it('accepts without tokens whom its own policy exempts by name', async () => {
    const rules = [
      { name: 'site-2', exempt: true as const, because: 'a test' },
      { name: '*', require: ['x-a'] },
    ];
    const { site, stream } = await sites.open({ policy: { sites: rules } });
    const check = await checkJob(sites.server, site);
    if (check.$case !== 'checkJob') throw new Error('not a check');
    const participants = check.value.participants.map((entry) =>
      entry.participant === 'site-2' ? { ...entry, digests: [] } : entry,
    );
    sendCommand(stream, 1n, { ...check, value: { ...check.value, participants } });
    expect((await stream.next('jobCheck')).accepted).toBe(true);
  });

  it('of a dry run permits nothing', async () => {
    const { site, stream } = await sites.open();
    sendCommand(stream, 1n, await checkJob(sites.server, site, { dryRun: true }));
    expect((await stream.next('jobCheck')).accepted).toBe(true);
    const permit = await site.permit('job-1', 1n, ['site-1', 'site-2']);
    sendCommand(stream, 2n, { $case: 'permitJob', value: { permit } });
    expect(await outcomeOf(stream, 2n)).toEqual([CommandOutcome.REJECTED, 'JOB_NOT_ADMITTED']);
  });
});

describe('a permit', () => {
  async function agreed(): Promise<{ site: Site; stream: FakeSession }> {
    const opened = await sites.open();
    sendCommand(opened.stream, 1n, await checkJob(sites.server, opened.site));
    await opened.stream.next('jobCheck');
    return opened;
  }

  it.each<[string, (site: Site) => ReturnType<Site['permit']>, string]>([
    [
      'another key signed it',
      (site) => site.permit('job-1', 1n, ['site-1', 'site-2'], generateKey()),
      'PERMIT_INVALID',
    ],
    ['it names fewer participants', (site) => site.permit('job-1', 1n, ['site-1']), 'PERMIT_INVALID'],
    [
      'it names other participants',
      (site) => site.permit('job-1', 1n, ['site-1', 'site-2', 'site-3']),
      'PERMIT_INVALID',
    ],
    [
      'it is of another generation than the message says',
      async (site) => ({ ...(await site.permit('job-1', 2n, ['site-1', 'site-2'])), generation: 1n }),
      'PERMIT_INVALID',
    ],
    [
      'it is of a generation that was not agreed to',
      (site) => site.permit('job-1', 2n, ['site-1', 'site-2']),
      'JOB_NOT_ADMITTED',
    ],
    ['it is of another job', (site) => site.permit('job-2', 1n, ['site-1', 'site-2']), 'JOB_NOT_ADMITTED'],
    [
      'it is no permit',
      () => Promise.resolve({ jobId: 'job-1', generation: 1n, permit: 'x' }),
      'PERMIT_INVALID',
    ],
  ])('is rejected when %s', async (_what, make, code) => {
    const { site, stream } = await agreed();
    sendCommand(stream, 2n, { $case: 'permitJob', value: { permit: await make(site) } });
    expect(await outcomeOf(stream, 2n)).toEqual([CommandOutcome.REJECTED, code]);
    expect(site.jobs.permits).toEqual([]);
  });

  it('is rejected after its job was stopped', async () => {
    const { site, stream } = await agreed();
    sendCommand(stream, 2n, stopJob('job-1'));
    await outcomeOf(stream, 2n);
    const permit = await site.permit('job-1', 1n, ['site-1', 'site-2']);
    sendCommand(stream, 3n, { $case: 'permitJob', value: { permit } });
    expect(await outcomeOf(stream, 3n)).toEqual([CommandOutcome.REJECTED, 'JOB_NOT_ADMITTED']);
  });

  it('is rejected once a proof that the yes rests on has expired', async () => {
    const { site, stream } = await agreed();
    site.clock.step(700_000);
    const permit = await site.permit('job-1', 1n, ['site-1', 'site-2']);
    sendCommand(stream, 2n, { $case: 'permitJob', value: { permit } });
    expect(await outcomeOf(stream, 2n)).toEqual([CommandOutcome.REJECTED, 'ATTESTATION_EXPIRED']);
  });

  it('waits for the first lease of a session, and no longer than that', async () => {
    const { site, stream } = await agreed();
    stream.heartbeats = 'refuse';
    for (let beats = 0; beats < 6; beats += 1) {
      await site.clock.advance(10_000);
      await eventually(() => site.session.state.active?.heartbeats.unanswered.length === 0);
    }
    expect(site.session.leaseLeftMs).toBeUndefined();
    const permit = await site.permit('job-1', 1n, ['site-1', 'site-2']);
    sendCommand(stream, 2n, { $case: 'permitJob', value: { permit } });
    await stream.next('commandAck');
    await site.clock.waitForTimers(3);
    await site.clock.advance(10_000);
    expect(await outcomeOf(stream, 2n)).toEqual([CommandOutcome.REJECTED, 'LEASE_EXPIRED']);
  });
});
