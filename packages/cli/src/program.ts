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
    if (wantsJson(args)) reportError(terminal, true, refusal('ARGUMENT_INVALID', { message: error.message }));
    terminal.exit(exitCodes.unusable);
  }
}

function createProgram(terminal: Terminal): Command {
  const program = new Command('muster')
    .description('Sites prove themselves, or they do not take part. For operators and auditors.')
    .version(version)
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) })
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
