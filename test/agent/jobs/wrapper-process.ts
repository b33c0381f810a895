// `muster-agent run` as a process of its own: wrapper-process.js SOCKET JOB WAIT_MS COMMAND ARG...
import { runCommand } from '@muster/agent/jobs/run-command.js';

const [socketPath = '', jobId = '', waitMs = '0', command = '', ...args] = process.argv.slice(2);
process.exitCode = await runCommand({
  socketPath,
  jobId,
  waitMs: Number(waitMs),
  command,
  args,
  tell: (line) => process.stderr.write(`${line}\n`),
});
