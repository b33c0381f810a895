import { afterAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { performance } from 'node:perf_hooks';
import { isAlive, eventually } from '../support/live/wait.js';
import { logLines } from './support/evidence.js';
import { FaultFederation, stopBoundMs } from './support/fault-federation.js';
import { FaultReport } from './support/report.js';
import { Story } from './support/story.js';

/** How long a site's certificate lives, ms. */
const lifetimeMs = 48_000;
/**
 * How long the server's part of the connection that renews is held on its way, ms: the renewal is seen in the server's log
 * and the connection broken well before its reply would arrive.
 */
const heldMs = 3_000;

const report = new FaultReport('A renewal whose reply is lost');
afterAll(() => report.print());

it('a certificate is renewed at half its life although the reply is lost, and no second identity comes of it', async () => {
  // A lease so long that the machine, however busy, makes no other connection than the one that renews.
  const federation = await FaultFederation.start({
    heartbeat: '2s',
    lease: '15s',
    server: { certificates: { site_lifetime: `${lifetimeMs}ms` } },
  });
  try {
    const site = await federation.addSite('site-1');
    const story = new Story(federation, [site]);
    // An enrolled site is trusted before it has a session, whose connection is not the one to be caught.
    await story.connected();
    const enrolledAt = performance.now();
    const renewing = site.session.delayNext('down', heldMs);
    const job = await story.run();

    const connection = await renewing;
    const renewals = (): number =>
      logLines(federation.serverOutput).filter(({ event }) => event === 'certificate.renewed').length;
    await eventually('the renewal to be committed', () => renewals() >= 1, lifetimeMs);
    connection.destroy();
    const afterMs = Math.round(performance.now() - enrolledAt);
    await eventually(
      'the certificate to be renewed again',
      () => agentSays('certificate.renewed') >= 1,
      lifetimeMs,
    );
    // Only the renewed certificate is any good from then on; the job has to run on with it.
    await sleep(Math.max(0, enrolledAt + lifetimeMs - performance.now()));
    site.session.break();
    await story.connected();
    const ran = job.runs.every(({ pids }) => pids.every(isAlive));
    const gone = story.gone(job.runs, await story.stop(job.jobId), stopBoundMs);
    const outcome = await story.judge(job, stopBoundMs, gone);
    const violations = [
      ...outcome.violations,
      ...(ran ? [] : ['the job did not run on']),
      ...(agentSays('certificate.renewal_failed') > 0 ? [] : ['the reply was not lost']),
      ...(renewals() > 1 ? [] : ['the certificate was not issued again']),
      ...(federation.enrolments(site.name) === 1 ? [] : ['the site enrolled again']),
    ];
    const fault = `renewal at half-life with its reply lost (after ${afterMs} ms of ${lifetimeMs})`;
    report.add({ fault, injected: 1, ...outcome, violations });
    expect(violations).toEqual([]);

    function agentSays(event: string): number {
      return logLines(site.live.agent.output()).filter((line) => line.event === event).length;
    }
  } finally {
    await federation.close();
  }
}, 240_000);
