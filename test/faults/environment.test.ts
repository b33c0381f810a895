import { afterAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { FaultFederation, leaseBoundMs, stopBoundMs } from './support/fault-federation.js';
import { FaultReport, type FaultRecord } from './support/report.js';
import { late, Story } from './support/story.js';

const report = new FaultReport('Faults of clocks and disks');
afterAll(() => report.print());

/** Debian's libfaketime steps the wall clock of a process that runs; the monotonic clock stays as it is. */
const fakeTime = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
const hours = 3;
/** How long a server may take to notice that its wall clock was stepped, ms. */
const noticedMs = 30_000;

function steppable(
  folder: string,
  name: string,
): { env: Record<string, string>; step: (by: string) => void } {
  const file = join(folder, `${name}.time`);
  const step = (by: string): void => writeFileSync(file, `${by}\n`);
  step('+0');
  const settings = {
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
  return { env: { LD_PRELOAD: fakeTime, ...settings }, step };
}

(existsSync(fakeTime) ? describe : describe.skip)(
  'clocks that are stepped by hours (needs libfaketime)',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'muster-clocks-'));
    afterAll(() => rmSync(folder, { recursive: true }));

    it('end no lease early or late, and let no proof live on', async () => {
      const [server, agent] = [steppable(folder, 'server'), steppable(folder, 'agent')];
      const federation = await FaultFederation.start({ serverEnv: server.env });
      try {
        const site = await federation.addSite('site-1', { env: agent.env });
        await federation.trusted(site.name);
        const story = new Story(federation, [site]);
        const stepped = async (
          fault: string,
          boundMs: number,
          step: (jobId: string) => Promise<number>,
        ): Promise<FaultRecord> => {
          const job = await story.run();
          const gone = story.gone(job.runs, await step(job.jobId), boundMs);
          const stoppedAfterMs = await gone;
          // A server whose clock is behind accepts no connection, so it is asked afterwards.
          for (const { step: back } of [server, agent]) back('+0');
          await federation.ended(job.jobId);
          await federation.trusted('server', site.name);
          await federation.worksAgain(story.nextJob(), site);
          const violations = [...late(stoppedAfterMs, boundMs), ...(await federation.violations())];
          return report.add({ fault, injected: 1, boundMs, stoppedAfterMs, violations });
        };
        const records = [
          await stepped(`agent's clock ${hours} h back, then cut off`, leaseBoundMs, async () => {
            agent.step(`-${hours}h`);
            site.session.hold();
            setTimeout(() => site.session.heal(), leaseBoundMs).unref();
            return performance.now();
          }),
          await stepped(`agent's clock ${hours} h ahead, then a stop`, stopBoundMs, async (jobId) => {
            agent.step(`+${hours}h`);
            return story.stop(jobId);
          }),
          await stepped(`server's clock ${hours} h back, then cut off`, leaseBoundMs, async () => {
            server.step(`-${hours}h`);
            site.session.hold();
            setTimeout(() => site.session.heal(), leaseBoundMs).unref();
            return performance.now();
          }),
          await stepped(
            `server's clock ${hours} h ahead: every proof is over`,
            noticedMs + leaseBoundMs,
            async () => {
              server.step(`+${hours}h`);
              return performance.now();
            },
          ),
        ];
        // The certificate is then of the future, and the agent has to notice that by itself.
        const enrolments = federation.enrolments(site.name);
        await site.live.agent.kill();
        for (const { step } of [server, agent]) step(`+${hours}h`);
        site.live.startAgent();
        await federation.enrolled(site.name, enrolments + 1);
        for (const { step: back } of [server, agent]) back('+0');
        site.session.break();
        await federation.trusted('server', site.name);
        await federation.worksAgain(story.nextJob(), site);
        const enrolment = report.add({
          fault: `both clocks ${hours} h ahead while the agent enrols`,
          injected: 1,
          violations: [
            ...(site.live.agent.output().includes('CERTIFICATE_NOT_YET_VALID')
              ? []
              : ['the certificate was not of the future']),
            ...(await federation.violations()),
          ],
        });
        expect([...records, enrolment].flatMap(({ violations }) => violations)).toEqual([]);
      } finally {
        await federation.close();
      }
    }, 360_000);
  },
);

const mount = mkdtempSync(join(tmpdir(), 'muster-disk-'));
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mount]).status === 0;
afterAll(() => {
  if (mounted) spawnSync('umount', ['--lazy', mount]);
  rmSync(mount, { recursive: true });
});

(mounted ? describe : describe.skip)('a disk that fills (needs the right to mount)', () => {
  it('lets nothing be permitted, and every stop that was taken be carried out', async () => {
    const data = join(mount, 'data');
    mkdirSync(data, { mode: 0o700 });
    const federation = await FaultFederation.start({ server: { data_directory: data } });
    try {
      const site = await federation.addSite('site-1');
      await federation.trusted(site.name);
      const story = new Story(federation, [site]);
      const job = await story.run();
      const { bavail, bsize } = statfsSync(mount);
      const ballast = join(mount, 'ballast');
      writeFileSync(ballast, Buffer.alloc(bavail * bsize - 1));
      const refused = await federation.live.muster('job', 'submit', 'job-full', '--site', site.name);
      await federation.live.muster('job', 'stop', job.jobId);
      rmSync(ballast);
      const gone = story.gone(job.runs, await story.stop(job.jobId), stopBoundMs);
      const outcome = await story.judge(job, stopBoundMs, gone);
      const violations = [
        ...outcome.violations,
        ...(refused.code === 0 ? ['a job was taken that was not stored'] : []),
      ];
      report.add({ fault: 'disk full', injected: 1, ...outcome, violations });
      expect(violations).toEqual([]);
    } finally {
      await federation.close();
    }
  }, 120_000);
});
