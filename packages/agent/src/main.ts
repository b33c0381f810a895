#!/usr/bin/env node
import { credentials } from '@grpc/grpc-js';
import { endProcess } from '@muster/attester/end-process.js';
import { systemClock } from '@muster/shared/clock.js';
import { parseDuration } from '@muster/shared/config/duration.js';
import { MusterError, refusal } from '@muster/shared/errors.js';
import { GetStatusResponse, LocalJobServiceClient } from '@muster/shared/gen/muster/agent/v1/local.js';
import { createLogger, errorFields } from '@muster/shared/logging/logger.js';
import type { ReasonCode } from '@muster/shared/reasons.js';
import { Command, InvalidArgumentError, Option } from 'commander';
import { startAgent } from './agent.js';
import { loadConfig, loadSocketPath } from './config/config.js';
import { unary } from './enrolment/unary.js';
import { runCommand } from './jobs/run-command.js';
import { version } from './version.js';

/** Exit statuses beside 0 and those of `run` (sysexits.h). */
const exitCodes = { failed: 1, unusable: 2, unavailable: 69 } as const;
const unusableInput: ReadonlySet<ReasonCode> = new Set<ReasonCode>([
  'ARGUMENT_INVALID',
  'CONFIG_INVALID',
  'POLICY_INVALID',
  'FILE_UNREADABLE',
  'FILE_UNWRITABLE',
]);

const program = new Command('muster-agent')
  .description('The Muster agent of one site: proves the site, and starts and stops its jobs')
  .version(version)
  .enablePositionalOptions()
  .configureOutput({
    outputError: (text, write) =>
      write(
        text.replace(/^error: (.*?)\.?\n/, 'muster-agent: $1. See `muster-agent help`. [ARGUMENT_INVALID]\n'),
      ),
  })
  .exitOverride();

program
  .command('start')
  .description('enrol, open the session with the server and supervise jobs until told to stop')
  .requiredOption('--config <file>', 'the configuration file')
  .action(async ({ config }: { config: string }) => endProcess(await start(config).then(() => 0, tell)));

program
  .command('validate')
  .description('check a configuration file and the policy file that it names')
  .requiredOption('--config <file>', 'the configuration file')
  .action(({ config }: { config: string }) => {
    const { name, attesters } = loadConfig(config);
    const namespaces = attesters.map(({ namespace }) => namespace).join(', ') || 'no attesters';
    process.stdout.write(`${config} is valid: site ${name}, ${namespaces}\n`);
  });

program
  .command('run')
  .description('run a command as part of a job, if the job is admitted at this site')
  .requiredOption('--job <id>', 'the job')
  .addOption(new Option('--socket <path>', "the agent's socket").env('MUSTER_AGENT_SOCKET'))
  .option('--config <file>', "the agent's configuration file, to find the socket")
  .option('--wait <duration>', 'how long to wait for the permit, such as 30s', readDuration, 0)
  .argument('<command>', 'the program to run')
  .argument('[args...]', 'its arguments')
  .passThroughOptions()
  .action(async (command: string, args: string[], options: RunOptions) => {
    process.exitCode = await runCommand({
      socketPath: socketOf(options),
      jobId: options.job,
      waitMs: options.wait,
      command,
      args,
      tell: (line) => process.stderr.write(`${line}\n`),
    });
  });

program
  .command('status')
  .description('show how this site stands, as JSON')
  .addOption(new Option('--socket <path>', "the agent's socket").env('MUSTER_AGENT_SOCKET'))
  .option('--config <file>', "the agent's configuration file, to find the socket")
  .action(async (options: SocketOptions) => {
    const client = new LocalJobServiceClient(`unix:${socketOf(options)}`, credentials.createInsecure());
    const status = await unary<GetStatusResponse>((callback) => client.getStatus({}, callback)).catch(
      (cause: unknown) => {
        throw refusal('AGENT_UNREACHABLE', {}, cause);
      },
    );
    client.close();
    process.stdout.write(`${JSON.stringify(GetStatusResponse.toJSON(status), null, 2)}\n`);
  });

interface SocketOptions {
  readonly socket?: string;
  readonly config?: string;
}

interface RunOptions extends SocketOptions {
  readonly job: string;
  readonly wait: number;
}

async function start(configFile: string): Promise<void> {
  const config = loadConfig(configFile);
  const logger = createLogger('agent', config.log);
  const ending = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => ending.abort(name));
  // The timers of the clock do not keep this process alive.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    const agent = await startAgent(config, {
      clock: systemClock,
      random: Math.random,
      logger,
      signal: ending.signal,
    });
    await agent.finished;
  } catch (error) {
    if (ending.signal.aborted && error === ending.signal.reason) return;
    logger.error('agent.failed', errorFields(error));
    throw error;
  } finally {
    clearInterval(alive);
  }
}

function socketOf({ socket, config }: SocketOptions): string {
  if (socket !== undefined) return socket;
  if (config !== undefined) return loadSocketPath(config);
  throw refusal('ARGUMENT_INVALID', { message: 'Name the agent with --socket or --config.' });
}

function readDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('expected a duration such as 30s');
  return ms;
}

/** One line for each reason: what, where, what to do. */
function tell(error: unknown): number {
  if (error instanceof MusterError) {
    for (const { code, message, remedy } of error.reasons) {
      process.stderr.write(`muster-agent: ${message} ${remedy} [${code}]\n`);
    }
    if (error.code === 'AGENT_UNREACHABLE') return exitCodes.unavailable;
    return unusableInput.has(error.code) ? exitCodes.unusable : exitCodes.failed;
  }
  process.stderr.write(`muster-agent: ${error instanceof Error ? error.message : String(error)}\n`);
  return exitCodes.failed;
}

try {
  await program.parseAsync();
  process.exit();
} catch (error) {
  const { exitCode } = error as { exitCode?: number };
  if (exitCode === undefined) process.exit(tell(error));
  process.exit(exitCode === 0 ? 0 : exitCodes.unusable);
}
