import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { useDirectory } from '../support/directory.js';
import { root } from '../support/live/workspace.js';

const directory = useDirectory();

it('a process ends with its exit status although a device keeps a thread in the kernel', () => {
  const device = join(directory.path, 'device');
  execFileSync('mkfifo', [device]);
  const script = `
    import { open } from 'node:fs/promises';
    import { endProcess } from ${JSON.stringify(join(root, 'packages/attester/dist/end-process.js'))};
    process.stdout.write('said before');
    open(${JSON.stringify(device)}, 'r');
    setTimeout(() => endProcess(7), 100);`;
  const { status, signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 20_000,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
  });
  expect({ status, signal, stdout }).toEqual({ status: 7, signal: null, stdout: 'said before' });
}, 30_000);
