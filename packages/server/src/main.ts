import { endProcess } from '@muster/attester/end-process.js';
import { systemClock } from '@muster/shared/clock.js';
import { MusterError } from '@muster/shared/errors.js';
import { createLogger, errorFields } from '@muster/shared/logging/logger.js';
import { Command, CommanderError } from 'commander';
import {
  configOption,
  registerCaCommands,
  registerCredentialCommands,
  type ConfigOptions,
} from './administration.js';
import { loadConfig } from './config/config.js';
import { startServer } from './server.js';
import { version } from './version.js';

/** Exit statuses beside 0. */
const exitCodes = { failed: 1, unusable: 2 } as const;
const unusableInput: ReadonlySet<string> = new Set([
  'CONFIG_INVALID',
  'POLICY_INVALID',
  'FILE_UNREADABLE',
  'FILE_UNWRITABLE',
  'FILE_EXISTS',
  'PARTICIPANT_NAME_INVALID',
]);

const program = new Command('muster-server')
  .description('The Muster server: verifies participants, admits jobs and takes permission back')
  .version(version)
  .configureOutput({
    outputError: (text, write) =>
      write(text.replace(/^error: (.*?)\.?\n/, 'error: ARGUMENT_INVALID: $1. See `muster-server help`.\n')),
  })
  .exitOverride();

program
  .command('serve')
  .description('run the server until it is told to stop')
  .addOption(configOption())
  .action(async ({ config }: ConfigOptions) => endProcess(await serve(config).then(() => 0, report)));

program
  .command('validate')
  .description('check a configuration file and the files that it names')
  .addOption(configOption())
  .action(({ config }: ConfigOptions) => {
    const { name, trust_domain, simulatedRoots, policyDigest } = loadConfig(config);
    const simulated = simulatedRoots.length > 0 ? ', SIMULATED devices accepted' : '';
    say(`${config} is valid: server ${name} of ${trust_domain}, policy sha256:${policyDigest}${simulated}`);
  });

registerCredentialCommands(program);
registerCaCommands(program);

async function serve(configFile: string): Promise<void> {
  const config = loadConfig(configFile);
  const logger = createLogger('server', config.log);
  const ending = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => ending.abort(name));
  // The timers of the clock do not keep this process alive, and before it listens nothing else does.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    const server = await startServer(config, { clock: systemClock, logger });
    const stop = (): void => void server.stop();
    if (ending.signal.aborted) stop();
    else ending.signal.addEventListener('abort', stop, { once: true });
    await server.finished;
  } catch (error) {
    logger.error('server.failed', errorFields(error));
    throw error;
  } finally {
    clearInterval(alive);
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Says what went wrong in one line per reason: code, what was found, what to do. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.unusable;
  if (!(error instanceof MusterError)) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    return exitCodes.failed;
  }
  for (const { code, message, remedy } of error.reasons) {
    process.stderr.write(`error: ${code}: ${message} ${remedy}\n`);
  }
  return unusableInput.has(error.code) ? exitCodes.unusable : exitCodes.failed;
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
