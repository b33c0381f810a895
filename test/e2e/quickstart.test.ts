import { afterAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, root } from '../support/live/workspace.js';

/** The shell blocks of a page, in order. */
function shellBlocks(page: string): readonly string[] {
  const text = readFileSync(join(root, 'docs', page), 'utf8');
  return [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block]) => block ?? '');
}

describe('the quickstart', () => {
  const home = mkdtempSync(join(tmpdir(), 'muster-quickstart-'));
  afterAll(() => rmSync(home, { recursive: true, force: true, maxRetries: 3 }));

  it('leads, as it stands, from nothing to an admitted job and back', async () => {
    const [session = 0, enrollment = 0] = await freePorts(2);
    const script = ['set -e', ...shellBlocks('quickstart.md')];
    const { code, output } = await bash(script.join('\n'), {
      HOME: home,
      MUSTER_HOST: '127.0.0.1',
      SESSION_PORT: String(session),
      ENROLLMENT_PORT: String(enrollment),
    });
    expect({ code, output }).toMatchObject({ code: 0 });
    expect(output).toMatch(/^SIMULATED/m);
    expect(output).toMatch(/^EXEMPT: .* central/m);
    expect(output).toMatch(/state +admitted/);
    expect(output).toMatch(/^job-1 +stopped/m);
    expect(output).toMatch(/^intact to record/m);
    expect(output).toMatch(/site-1 +ended/);
  }, 180_000);
});

/** Runs a script in a process group of its own and ends whatever it leaves. */
async function bash(
  script: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn('bash', ['-c', script], {
    cwd: root,
    detached: true,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => void (output += text));
  }
  const endGroup = (): void => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // Nobody is left.
    }
  };
  const timer = setTimeout(endGroup, 170_000);
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  clearTimeout(timer);
  endGroup();
  return { code, output };
}
