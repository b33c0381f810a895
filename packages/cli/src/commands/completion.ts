import tab from '@bomb.sh/tab/commander';
import type { Command } from 'commander';

/** `muster completion bash|zsh|fish`, from the commands and options of the program as it is. Register it last. */
export function registerCompletionCommand(program: Command): void {
  tab(program, { completionCommandName: 'completion' });
}
