import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { muster, type CliResult } from '../support/cli.js';
import { LiveFederation } from '../support/live/federation.js';
import { runProgram } from '../support/live/program.js';
import type { JobRun, LiveSite } from '../support/live/site.js';
import { inState, type ParticipantView } from '../support/live/views.js';
import { eventually, isAlive } from '../support/live/wait.js';
import { programs } from '../support/live/workspace.js';

interface StatusView {
  readonly caHash: string;
  readonly caRotation?: { readonly stage: string; readonly waiting?: readonly string[] };
}

describe('certificates of real processes', () => {
  let federation: LiveFederation;
  let site: LiveSite;
  let run: JobRun;

  beforeAll(async () => {
    federation = await LiveFederation.start({
      heartbeat: '500ms',
      lease: '5s',
      server: { certificates: { site_lifetime: '10s' } },
    });
    site = await federation.addSite('site-1');
    await inState(federation, 'site-1', 'TRUSTED');
    await federation.muster('job', 'submit', 'job-1', '--site', 'site-1');
    expect((await federation.muster('job', 'admit', 'job-1')).code).toBe(0);
    run = site.run('job-1');
    await run.running();
  }, 60_000);
  afterAll(() => federation.close());

  /** Runs `muster-server` beside the server. */
  async function administer(
    ...args: string[]
  ): Promise<{ readonly code: number | null; readonly output: string }> {
    return runProgram(programs.server, [...args, '--config', federation.serverConfig]);
  }

  /** Issues a credential; returns its profile. */
  async function credential(role: string, name: string): Promise<string> {
    const out = join(federation.directory, name);
    const { code } = await administer('credential', 'issue', '--role', role, '--name', name, '--out', out);
    expect(code).toBe(0);
    return join(out, 'profile.yaml');
  }

  const musterAs = (profile: string, ...args: string[]): Promise<CliResult> =>
    muster(args, { env: { MUSTER_PROFILE: profile } });
  const epoch = async (): Promise<number> =>
    Number((await federation.ask<ParticipantView>('participant', 'get', 'site-1')).participant.epoch);
  const renewals = (): number => site.agent.output().split('certificate.renewed').length - 1;
  const rotation = async (): Promise<NonNullable<StatusView['caRotation']>> => {
    const { caRotation } = await federation.ask<StatusView>('status');
    if (caRotation === undefined) throw new Error('no rotation is under way');
    return caRotation;
  };

  it('are renewed, and the session goes over to the new one, while a job runs on', async () => {
    const before = await epoch();
    await eventually('two renewals', () => renewals() >= 2, 30_000);
    await eventually('two new sessions', async () => (await epoch()) >= before + 2);
    expect(site.agent.output()).not.toContain('lease.lost');
    expect(run.pids.every(isAlive)).toBe(true);
    expect(run.pids).toHaveLength(2);
  }, 60_000);

  it('that are revoked end open streams and are refused', async () => {
    const profile = await credential('auditor', 'anna');
    const watching = musterAs(profile, 'participant', 'watch');
    await eventually('a call', async () => (await musterAs(profile, 'participant', 'list')).code === 0);
    const revokedAt = performance.now();
    const { output } = await administer('credential', 'revoke', '--role', 'auditor', '--name', 'anna');
    expect(output).toContain('revoked 1 credential of auditor anna');
    const { code, err } = await watching;
    expect([code, err]).toEqual([expect.any(Number), expect.stringContaining('CERTIFICATE_REVOKED')]);
    expect(performance.now() - revokedAt).toBeLessThan(5_000);
    expect((await musterAs(profile, 'participant', 'list')).err).toContain('CERTIFICATE_REVOKED');
    const listed = (await administer('credential', 'list')).output;
    expect(listed).toContain('operator alice');
    expect(listed).not.toContain('anna');
    const again = await administer('credential', 'revoke', '--role', 'auditor', '--name', 'anna');
    expect([again.code, again.output]).toEqual([1, expect.stringContaining('CREDENTIAL_UNKNOWN')]);
  }, 60_000);

  it('move to a new CA, while a job runs on, and a site that pinned the old one comes back', async () => {
    const { caHash: old } = await federation.ask<StatusView>('status');
    expect((await administer('ca', 'rotate', 'prepare')).code).toBe(0);
    await eventually('the site to trust the next CA', async () => {
      const { stage, waiting = [] } = await rotation();
      return stage === 'CA_ROTATION_STAGE_PREPARED' && waiting.length === 0;
    });

    // What an operator does: a bundle with both CAs, for the server shows a certificate of the new one soon.
    const bundle = (await administer('ca', 'bundle')).output;
    expect(bundle.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    writeFileSync(join(federation.directory, 'operator', 'bundle.pem'), bundle);
    expect((await administer('ca', 'rotate', 'promote')).code).toBe(0);
    await eventually(
      'the site to use a certificate of the new CA',
      async () => {
        const { stage, waiting = [] } = await rotation();
        return stage === 'CA_ROTATION_STAGE_PROMOTED' && waiting.join() === 'operator/alice';
      },
      40_000,
    );
    const refused = await administer('ca', 'rotate', 'retire');
    expect([refused.code, refused.output]).toEqual([1, expect.stringContaining('operator/alice')]);
    const renewed = await credential('operator', 'bob');
    expect((await administer('credential', 'revoke', '--role', 'operator', '--name', 'alice')).code).toBe(0);
    expect((await musterAs(renewed, 'status')).out).toContain('nobody is waited for');
    const { output, code } = await administer('ca', 'rotate', 'retire');
    expect([code, output]).toEqual([0, expect.stringContaining('steady: 1 trusted')]);
    expect(output).not.toContain(old);
    expect(run.pids.every(isAlive)).toBe(true);

    const trusted = (): readonly string[] =>
      (
        JSON.parse(readFileSync(join(site.folder, 'state', 'trust.json'), 'utf8')) as {
          certificates: string[];
        }
      ).certificates;
    await eventually('the site to trust the new CA only', () => trusted().length === 1);
    await site.agent.kill();
    await run.gone();
    site.startAgent();
    await eventually('the site to be back', async () => {
      const { out } = await musterAs(renewed, 'participant', 'get', 'site-1', '-o', 'json');
      return out.includes('PARTICIPANT_STATE_TRUSTED') && site.agent.output().includes('session.opened');
    });
    expect((await federation.muster('status')).code).not.toBe(0);
  }, 120_000);
});
