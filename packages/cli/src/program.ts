import { refusal } from '@muster/shared/errors.js';
import { Command, CommanderError } from 'commander';
import { registerAuditCommands } from './commands/audit.js';
import { registerCompletionCommand } from './commands/completion.js';
import { registerJobCommands } from './commands/job.js';
import { registerParticipantCommands } from './commands/participant.js';
import { registerPermitCommands } from './commands/permit.js';
import { registerPolicyCommands } from './policy/command.js';
import { registerReasonsCommand } from './commands/reasons.js';
import { registerSystemCommands } from './commands/system.js';
import { registerTokenCommands } from './commands/token.js';
import { profileOption } from './command.js';
import { registerEndorsementCommands } from './endorsements/command.js';
import { reportError } from './errors.js';
import { registerEvidenceCommands } from './evidence/command.js';
import { exitCodes, type Terminal } from './terminal.js';
import { version } from './version.js';

/** Runs `muster` with its arguments. Everything that it says and its exit status go to the terminal. */
export async function run(args: readonly string[], terminal: Terminal): Promise<void> {
  try {
    await createProgram(terminal).parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return;
    // A group without a command has shown its help, and that is all there is to say.
    if (error.code === 'commander.help') return terminal.exit(exitCodes.unusable);
    const message = `${error.message.replace(/^error: /, '').replace(/\.$/, '')}. See \`muster help\`.`;
    terminal.exit(reportError(terminal, wantsJson(args), refusal('ARGUMENT_INVALID', { message })));
  }
}

function createProgram(terminal: Terminal): Command {
  const program = new Command('muster')
    .description('Sites prove themselves, or they do not take part. For operators and auditors.')
    .version(version)
    .addOption(profileOption())
    .enablePositionalOptions()
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
      // run() reports it, with its code.
      outputError: () => undefined,
    })
    .exitOverride();
  registerParticipantCommands(program, terminal);
  registerTokenCommands(program, terminal);
  registerJobCommands(program, terminal);
  registerSystemCommands(program, terminal);
  registerAuditCommands(program, terminal);
  registerPermitCommands(program, terminal);
  registerEvidenceCommands(program, terminal);
  registerEndorsementCommands(program, terminal);
  registerPolicyCommands(program, terminal);
  registerReasonsCommand(program, terminal);
  registerCompletionCommand(program);
  return program;
}

/** Whether the caller is a program, as far as arguments tell that could not be parsed. */
function wantsJson(args: readonly string[]): boolean {
  return /(^| )(-o ?json|--output[ =]json)( |$)/.test(args.join(' '));
}
