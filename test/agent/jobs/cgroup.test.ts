import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { createRunCgroup, leftRunCgroups, withinCgroup } from '@muster/agent/jobs/cgroup.js';
import { endRun } from '@muster/agent/jobs/process-tree.js';
import { delegatedCgroup, exists, pidIn } from './fixtures.js';

const delegated = delegatedCgroup();
if (delegated === undefined) console.warn('skipped: no cgroup v2 that this user may divide');

describe('without a cgroup of its own to divide', () => {
  it('none is made, and commands start all the same', () => {
    expect(createRunCgroup('/does/not/exist', 'run')).toBeUndefined();
    expect(leftRunCgroups('/does/not/exist', 'run')).toEqual([]);
    expect(withinCgroup('', () => 1)).toBe(1);
    expect(withinCgroup('/does/not/exist/muster-run', () => 1)).toBe(1);
  });
});

(delegated === undefined ? describe.skip : describe)('a cgroup', () => {
  it('holds what is started within it, kills it whatever it did, and goes', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'muster-cgroup-'));
    const file = join(directory, 'pid');
    const cgroup = createRunCgroup(delegated ?? '', `test${process.pid}`);
    if (cgroup === undefined) throw new Error('no cgroup');
    // It clears its environment, leaves its session and loses its parent: only the cgroup still knows it.
    const script = `(setsid env -i sh -c 'trap "" TERM; echo $$ > ${file}; while :; do sleep 1; done' &)`;
    const before = readFileSync('/proc/self/cgroup', 'utf8');
    withinCgroup(cgroup.path, () => spawn('sh', ['-c', script], { stdio: 'ignore' }));
    expect(readFileSync('/proc/self/cgroup', 'utf8')).toBe(before);
    const pid = await pidIn(file);
    expect(cgroup.pids()).toContain(pid);
    expect(leftRunCgroups(delegated ?? '', `test${process.pid}`).map(({ path }) => path)).toEqual([
      cgroup.path,
    ]);
    expect(await endRun({ runId: 'none-of-this-name', cgroup }, 50)).toEqual([]);
    expect(exists(pid)).toBe(false);
    cgroup.remove();
    expect(existsSync(cgroup.path)).toBe(false);
    rmSync(directory, { recursive: true });
  });
});
